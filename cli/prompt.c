/* SPDX-License-Identifier: Apache-2.0
 *
 * Login prompts. A URL is opened only through xdg-open, only when there is a desktop, and only when
 * it is http(s); nothing of it reaches a shell.
 */
#include "cli/prompt.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <qrencode.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

/* Loaded by who wants a code to be shown: ssh starts this program for each login, without. */
struct qr_library {
	void *handle;
	__typeof__(&QRcode_encodeString) encode;
	__typeof__(&QRcode_free) free;
};

static bool load_qr(struct qr_library *lib)
{
	lib->handle = dlopen("libqrencode.so.4", RTLD_NOW | RTLD_LOCAL);
	if (lib->handle == NULL)
		return false;
	*(void **)(void *)&lib->encode = dlsym(lib->handle, "QRcode_encodeString");
	*(void **)(void *)&lib->free = dlsym(lib->handle, "QRcode_free");
	return lib->encode != NULL && lib->free != NULL;
}

static void print_qr(FILE *out, const char *text)
{
	struct qr_library lib = {0};
	QRcode *code = load_qr(&lib) ? lib.encode(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1) : NULL;
	bool utf8;

	if (code == NULL) {
		fputs("There is no QR code here (libqrencode.so.4).\n", out);
		return;
	}
	setlocale(LC_CTYPE, "");
	utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	for (int y = -2; y < code->width + 2; y += utf8 ? 2 : 1) {
		fputs("  ", out);
		for (int x = -2; x < code->width + 2; x++) {
			bool in = x >= 0 && x < code->width;
			bool top = in && y >= 0 && y < code->width &&
				   (code->data[y * code->width + x] & 1) != 0;
			bool low = in && y + 1 >= 0 && y + 1 < code->width &&
				   (code->data[(y + 1) * code->width + x] & 1) != 0;

			if (utf8)
				fputs(top && low ? " " : top ? "▄" : low ? "▀" : "█", out);
			else
				fputs(top ? "  " : "##", out);
		}
		fputc('\n', out);
	}
	lib.free(code);
	dlclose(lib.handle);
}

static bool desktop(void)
{
	return getenv("DISPLAY") != NULL || getenv("WAYLAND_DISPLAY") != NULL;
}

bool prompt_has_browser(const struct prompt *p)
{
	const char *path = getenv("PATH");
	char file[1024];

	if (p->no_browser || p->qr || !desktop())
		return false;
	for (size_t len; path != NULL && *path != '\0'; path += len + (path[len] == ':')) {
		len = strcspn(path, ":");
		if (len > 0 &&
		    snprintf(file, sizeof(file), "%.*s/xdg-open", (int)len, path) <
			    (int)sizeof(file) &&
		    access(file, X_OK) == 0)
			return true;
	}
	return false;
}

static void open_browser(const char *url)
{
	pid_t pid;

	if (!desktop())
		return;
	if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
		return;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null >= 0) {
			dup2(null, 0);
			dup2(null, 1);
			dup2(null, 2);
		}
		if (fork() == 0)
			execlp("xdg-open", "xdg-open", url, (char *)NULL);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

void prompt_event(void *ctx, const json_t *event)
{
	struct prompt *p = ctx;
	FILE *out = p->out != NULL ? p->out : stderr;
	char url[2048], code[64], page[2048];
	const char *kind = json_string_value(json_object_get(event, "event"));

	if (kind == NULL || strcmp(kind, "prompt") != 0)
		return;
	cli_text(event, "url", url, sizeof(url));
	cli_text(event, "code", code, sizeof(code));
	cli_text(event, "verification_uri", page, sizeof(page));
	/* Without a code the answer comes to this machine's loopback address. */
	fprintf(out, "To log in, open this page in a browser%s:\n\n    %s\n\n",
		code[0] != '\0' ? "" : " on this machine", url);
	if (code[0] != '\0')
		fprintf(out, "and confirm the code %s%s%s%s\n", code,
			page[0] != '\0' ? " (or type it at " : "", page,
			page[0] != '\0' ? ")" : "");
	if (p->qr)
		print_qr(out, url);
	fputs("Waiting for the login; Ctrl-C gives up.\n", out);
	fflush(out);
	p->shown = true;
	if (!p->no_browser)
		open_browser(url);
}
