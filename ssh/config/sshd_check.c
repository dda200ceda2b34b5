/* SPDX-License-Identifier: Apache-2.0
 *
 * What sshd_config(5) names, looked at: see the header. Nothing is made or changed, and no content
 * but that of a banner would be needed, so none is read.
 */
#include "ssh/config/sshd_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"

struct check {
	struct sshd_findings *findings;
	bool mesh;
};

void sshd_finding(struct sshd_findings *f, bool error, const struct sshd_place *at, const char *fmt,
		  ...)
{
	char sentence[400];
	va_list args;
	size_t place;

	f->errors += error;
	if (f->count == SSHD_FINDINGS_MAX && !error)
		return;
	place = f->count < SSHD_FINDINGS_MAX ? f->count++ : SSHD_FINDINGS_MAX - 1;
	va_start(args, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);
	f->list[place].error = error;
	if (at != NULL)
		snprintf(f->list[place].text, sizeof(f->list[place].text), "%.200s line %u: %.280s",
			 at->file, at->line, sentence);
	else
		snprintf(f->list[place].text, sizeof(f->list[place].text), "%s", sentence);
}

int sshd_findings_error(const struct sshd_findings *f, struct error *err)
{
	for (size_t i = 0; i < f->count; i++) {
		if (!f->list[i].error)
			continue;
		return f->errors == 1
			       ? error_set(err, -EINVAL, "%s", f->list[i].text)
			       : error_set(err, -EINVAL, "%.440s (and %zu more: warren sshd -t)",
					   f->list[i].text, f->errors - 1);
	}
	return 0;
}

void sshd_findings_log(const struct sshd_findings *f)
{
	for (size_t i = 0; i < f->count; i++)
		if (!f->list[i].error)
			log_warn(f->list[i].text, NULL);
}

/* ------------------------------------------------------------------ files */

/* For reading, as the server will: 0, or negative with *ret_size untouched. */
static int open_regular(const char *path, off_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;

	if (r == 0 && S_ISDIR(st.st_mode))
		r = -EISDIR;
	else if (r == 0 && !S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		r = -EINVAL;
	if (r == 0)
		*ret_size = S_ISREG(st.st_mode) ? st.st_size : 0;
	file_close(&fd);
	return r;
}

static void banner(const struct check *k, const struct sshd_place *at)
{
	const char *path = at->words[0];
	off_t size = 0;
	int r = strcasecmp(path, "none") == 0 ? 0 : open_regular(path, &size);

	if (r == 0 && size > SSHD_BANNER_MAX)
		r = -EFBIG;
	if (r < 0)
		sshd_finding(k->findings, false, at,
			     "Banner %s cannot be shown, and logins go on without it: %s", path,
			     r == -EFBIG ? "it has more than 8192 bytes" : strerror(-r));
}

static void revoked_keys(const struct check *k, const struct sshd_place *at)
{
	off_t size;
	int r = strcasecmp(at->words[0], "none") == 0 ? 0 : open_regular(at->words[0], &size);

	if (r < 0)
		sshd_finding(k->findings, true, at, "RevokedKeys %s cannot be read: %s",
			     at->words[0], strerror(-r));
}

/* The first word of a command of the account's shell, where it is a plain path. */
static void program(const struct check *k, const struct sshd_place *at, const char *command)
{
	size_t len = strcspn(command, " \t");
	char path[512];
	struct stat st;
	const char *why = NULL;

	if (command[0] != '/' || len >= sizeof(path))
		return;
	snprintf(path, sizeof(path), "%.*s", (int)len, command);
	if (strpbrk(path, "$`'\"\\;&|<>(){}*?~") != NULL)
		return;
	if (stat(path, &st) < 0)
		why = strerror(errno);
	else if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		why = "it is no program";
	if (why != NULL)
		sshd_finding(k->findings, false, at, "%s %s cannot be run: %s", at->keyword, path,
			     why);
}

static void subsystem(const struct check *k, const struct sshd_place *at)
{
	const char *command = at->rest + strlen(at->words[0]);

	command += strspn(command, " \t");
	/* Where OpenSSH's is not installed our own takes its place. */
	if (strncmp(command, "/usr/lib/openssh/sftp-server", 28) != 0)
		program(k, at, command);
}

/* An absolute name is there, or its folder as far as it does not depend on who logs in. */
static void key_file(const struct check *k, const struct sshd_place *at, const char *path)
{
	size_t len = strcspn(path, "%");
	char fixed[512];
	struct stat st;

	if (path[0] != '/' || len >= sizeof(fixed))
		return;
	snprintf(fixed, sizeof(fixed), "%.*s", (int)len, path);
	if (path[len] == '%')
		*(strrchr(fixed, '/') + 1) = '\0';
	if (stat(fixed, &st) < 0)
		sshd_finding(k->findings, false, at, "AuthorizedKeysFile %s: %s: %s", path, fixed,
			     strerror(errno));
}

static void pid_file(const struct check *k, const struct sshd_place *at)
{
	const char *path = at->words[0], *slash = strrchr(path, '/');
	char folder[512];
	struct stat st;

	if (strcasecmp(path, "none") == 0)
		return;
	snprintf(folder, sizeof(folder), "%.*s/", slash != NULL ? (int)(slash - path) : 0, path);
	if (path[0] != '/')
		sshd_finding(k->findings, false, at, "PidFile %s is no absolute path", path);
	else if (stat(folder, &st) < 0)
		sshd_finding(k->findings, false, at, "PidFile %s cannot be written: %s: %s", path,
			     folder, strerror(errno));
}

/* ------------------------------------------------------------------ keywords */

/* Of a mesh: who listens there, on what, and with which key. */
static bool of_the_mesh(const struct check *k, const struct sshd_place *at)
{
	static const struct {
		const char *keyword, *why;
	} own[] = {
		{"Port", "the server is reached inside of the mesh, on port 22"},
		{"ListenAddress", "the server is reached inside of the mesh, on port 22"},
		{"AddressFamily", "the server is reached inside of the mesh, on port 22"},
		{"FreeBind", "the server is reached inside of the mesh, on port 22"},
		{"HostKey", "the machine's key is known there"},
		{"TrustedUserCAKeys", "certificates are those of the control server"},
		{"PidFile", "the daemon has one of its own"},
		{"SyslogFacility", "the daemon's log is the server's"},
		{"AuditLog", "the daemon's audit log is the server's"},
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strcmp(own[i].keyword, at->keyword) == 0) {
			sshd_finding(k->findings, false, at, "%s has no effect in a mesh: %s",
				     at->keyword, own[i].why);
			return true;
		}
	return false;
}

static void check_line(void *ctx, const struct sshd_place *at)
{
	const struct check *k = ctx;

	if (at->no_effect != NULL)
		sshd_finding(k->findings, false, at, "%s has no effect: %s", at->keyword,
			     at->no_effect);
	if (at->count == 0 || at->no_effect != NULL || (k->mesh && of_the_mesh(k, at)))
		return;
	if (strcmp(at->keyword, "Banner") == 0)
		banner(k, at);
	else if (strcmp(at->keyword, "RevokedKeys") == 0 && k->mesh)
		revoked_keys(k, at);
	else if (strcmp(at->keyword, "ForceCommand") == 0)
		program(k, at, at->rest);
	else if (strcmp(at->keyword, "Subsystem") == 0)
		subsystem(k, at);
	else if (strcmp(at->keyword, "PidFile") == 0)
		pid_file(k, at);
	else if (strcmp(at->keyword, "AuthorizedKeysFile") == 0)
		for (size_t i = 0; i < at->count; i++)
			key_file(k, at, at->words[i]);
}

void sshd_check(const struct sshd_config *c, bool mesh, struct sshd_findings *f)
{
	struct check k = {f, mesh};

	sshd_config_each(c, check_line, &k);
}
