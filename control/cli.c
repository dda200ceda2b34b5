/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the command line: options of `serve`, and for the other commands their words, options and
 * arguments in any order. What is not understood is said with the usage, exit 2.
 */
#include "control/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"
#include "control/serve.h"

static void usage(FILE *out)
{
	fputs("usage: warren-control serve [--config FILE] [--state-dir DIR] [--listen ADDR:PORT]\n"
	      "                            [--public-url URL] [--stun ADDR:PORT] [--socket PATH]\n"
	      "                            [--domain D] [--demo] [--log-level L]\n",
	      out);
	for (size_t i = 0; i < cli_command_count; i++)
		fprintf(out, "       warren-control %s\n", cli_commands[i].usage);
	fputs("       every command but serve takes --socket PATH and --json\n", out);
}

static int usage_error(const char *sentence, const char *what)
{
	fprintf(stderr, "warren-control: %s%s (see warren-control --help)\n", sentence, what);
	return WARREN_EXIT_USAGE;
}

/* ---- serve ---- */

static int set_text(char *out, size_t cap, const char *flag, const char *value)
{
	if (strlen(value) >= cap) {
		fprintf(stderr, "warren-control: the value of --%s is too long\n", flag);
		return -EMSGSIZE;
	}
	memcpy(out, value, strlen(value) + 1);
	return 0;
}

static const struct option serve_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"state-dir", required_argument, NULL, 'd'},
	{"listen", required_argument, NULL, 'l'},
	{"public-url", required_argument, NULL, 'u'},
	{"stun", required_argument, NULL, 't'},
	{"socket", required_argument, NULL, 's'},
	{"domain", required_argument, NULL, 'D'},
	{"demo", no_argument, NULL, 'm'},
	{"log-level", required_argument, NULL, 'L'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static int apply_flag(int letter, const char *value, struct control_config *c,
		      struct config_more *more)
{
	switch (letter) {
	case 'd':
		return set_text(c->state_dir, sizeof(c->state_dir), "state-dir", value);
	case 'l':
		return set_text(c->listen, sizeof(c->listen), "listen", value);
	case 'u':
		return set_text(c->public_url, sizeof(c->public_url), "public-url", value);
	case 't':
		return set_text(c->stun_listen, sizeof(c->stun_listen), "stun", value);
	case 's':
		return set_text(c->admin_socket, sizeof(c->admin_socket), "socket", value);
	case 'D':
		return set_text(c->domain, sizeof(c->domain), "domain", value);
	case 'L':
		return set_text(more->log_level, sizeof(more->log_level), "log-level", value);
	case 'm':
		c->demo = true;
		return 0;
	default:
		return 0;
	}
}

int cli_serve(int argc, char **argv)
{
	struct control_config config;
	struct config_more more;
	const char *file = NULL;
	struct error err = {0};
	int letter;

	config_defaults(&config, &more);
	opterr = 0;
	/* Twice: the file first, wherever it is named, so that flags win. */
	while ((letter = getopt_long(argc, argv, "", serve_options, NULL)) != -1) {
		if (letter == 'c')
			file = optarg;
		if (letter == 'h') {
			usage(stdout);
			return WARREN_EXIT_OK;
		}
		if (letter == '?')
			return usage_error("unknown or incomplete option ", argv[optind - 1]);
	}
	if (optind < argc)
		return usage_error("serve takes no argument: ", argv[optind]);
	if (config_load(file ? file : CONFIG_FILE, !file, &config, &more, &err) < 0) {
		fprintf(stderr, "warren-control: %s\n", error_text(&err));
		return WARREN_EXIT_FAILED;
	}
	optind = 0;
	while ((letter = getopt_long(argc, argv, "", serve_options, NULL)) != -1)
		if (apply_flag(letter, optarg, &config, &more) < 0)
			return WARREN_EXIT_USAGE;
	if (config_finish(&config, &more, &err) < 0) {
		fprintf(stderr, "warren-control: %s\n", error_text(&err));
		return WARREN_EXIT_FAILED;
	}
	return serve_run(&config, &more);
}

/* ---- the other commands ---- */

static const struct option options[] = {
	{"socket", required_argument, NULL, 's'},
	{"json", no_argument, NULL, 'j'},
	{"name", required_argument, NULL, 'n'},
	{"reusable", no_argument, NULL, 'r'},
	{"uses", required_argument, NULL, 'u'},
	{"expires", required_argument, NULL, 'x'},
	{"ephemeral", no_argument, NULL, 'e'},
	{"groups", required_argument, NULL, 'g'},
	{"password-file", required_argument, NULL, 'p'},
	{"password-stdin", no_argument, NULL, 'i'},
	{"limit", required_argument, NULL, 'l'},
	{"identity", required_argument, NULL, 'I'},
	{"at", required_argument, NULL, 'a'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* "90s", "15m", "1h", "7d"; a bare number is seconds. */
static int parse_span(const char *text, int64_t *ret_s)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	int64_t unit = strcmp(end, "") == 0 || strcmp(end, "s") == 0 ? 1
		       : strcmp(end, "m") == 0			     ? 60
		       : strcmp(end, "h") == 0			     ? 3600
		       : strcmp(end, "d") == 0			     ? 86400
								     : 0;
	if (errno || end == text || unit == 0 || v < 1 || v > 86400LL * 3650 / unit)
		return -EINVAL;
	*ret_s = v * unit;
	return 0;
}

static int apply_option(struct cli *cli, int letter)
{
	char *end;

	switch (letter) {
	case 's':
		cli->socket = optarg;
		return 0;
	case 'j':
		cli->json = true;
		return 0;
	case 'n':
		cli->name = optarg;
		return 0;
	case 'r':
		cli->reusable = true;
		return 0;
	case 'e':
		cli->ephemeral = true;
		return 0;
	case 'g':
		cli->groups = optarg;
		return 0;
	case 'p':
		cli->password_file = optarg;
		return 0;
	case 'i':
		cli->password_stdin = true;
		return 0;
	case 'I':
		cli->identity = optarg;
		return *optarg ? 0 : -EINVAL;
	case 'a':
		cli->at = optarg;
		return 0;
	case 'l':
		cli->limit = optarg;
		return strspn(optarg, "0123456789") == strlen(optarg) ? 0 : -EINVAL;
	case 'x':
		return parse_span(optarg, &cli->expires_s);
	case 'u':
		errno = 0;
		cli->uses = strtoll(optarg, &end, 10);
		return errno || *end || cli->uses < 1 ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

static const struct cli_command *find_command(int count, char *const *words)
{
	for (size_t i = 0; i < cli_command_count; i++) {
		const struct cli_command *c = &cli_commands[i];

		if (count > 0 && strcmp(c->words[0], words[0]) == 0 &&
		    (!c->words[1] || (count > 1 && strcmp(c->words[1], words[1]) == 0)))
			return c;
	}
	return NULL;
}

int cli_run(int argc, char **argv)
{
	struct cli cli = {0};
	char socket_path[108] = "", used[32] = "";
	int letter;

	opterr = 0;
	while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (letter == 'h') {
			usage(stdout);
			return WARREN_EXIT_OK;
		}
		if (letter == '?')
			return usage_error("unknown or incomplete option ", argv[optind - 1]);
		if (apply_option(&cli, letter) < 0)
			return usage_error("not a usable value: ", optarg);
		size_t n = strlen(used);
		if (letter != 's' && letter != 'j' && n + 1 < sizeof(used)) {
			used[n] = (char)letter;
			used[n + 1] = 0;
		}
	}
	int count = argc - optind;
	const struct cli_command *command = find_command(count, argv + optind);
	if (!count) {
		usage(stderr);
		return WARREN_EXIT_USAGE;
	}
	if (!command)
		return usage_error("unknown command ", argv[optind]);
	int words = command->words[1] ? 2 : 1;
	cli.args = argv + optind + words;
	cli.arg_count = count - words;
	if ((command->args >= 0 && cli.arg_count != command->args) || strspn(used, command->options) != strlen(used)) {
		fprintf(stderr, "usage: warren-control %s\n", command->usage);
		return WARREN_EXIT_USAGE;
	}
	if (!cli.socket) {
		if (!config_socket(CONFIG_FILE, socket_path, sizeof(socket_path)))
			snprintf(socket_path, sizeof(socket_path), "%s", CONFIG_SOCKET);
		cli.socket = socket_path;
	}
	return command->run(&cli);
}
