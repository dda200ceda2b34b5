/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-sshd: the command line of the SSH server alone. `warren sshd` runs it.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/log.h"
#include "ssh/sshd.h"

static int usage(void)
{
	fputs("usage: warren sshd [-Ditv] [-f FILE|FOLDER] [-p PORT] [-h HOSTKEY] [-o KEYWORD=VALUE]\n"
	      "       warren sshd -T [-C user=…,addr=…,laddr=…,lport=…,host=…,peer=…,identity=…] …\n"
	      "  -D  stay in the foreground       -i  serve the connection on standard input\n"
	      "  -t  check the configuration      -T  print what is in force\n",
	      stderr);
	return WARREN_EXIT_USAGE;
}

static int fail(const struct error *err)
{
	fprintf(stderr, "warren-sshd: %s\n", error_text(err));
	return WARREN_EXIT_FAILED;
}

int sshd_arguments_load(const struct sshd_arguments *a, struct sshd_config **ret_config,
			struct error *err)
{
	struct sshd_config *c;
	int r = sshd_config_new(&c);

	if (r < 0)
		return error_set(err, r, "no memory");
	for (size_t i = 0; r == 0 && i < a->option_count; i++) {
		const struct sshd_source source = {
			.name = "-o", .text = a->options[i], .len = strlen(a->options[i])};

		r = sshd_config_parse(c, &source, NULL, NULL, err);
	}
	if (r == 0)
		r = sshd_config_read(c, a->path, err);
	if (r < 0) {
		sshd_config_free(c);
		return r;
	}
	*ret_config = c;
	return 0;
}

void sshd_arguments_override(const struct sshd_arguments *a, struct sshd_options *o)
{
	if (a->port_count > 0) {
		memcpy(o->ports, a->ports, sizeof(o->ports));
		o->port_count = a->port_count;
	}
	for (size_t i = 0; i < a->host_key_count; i++)
		o->host_keys.word[i] = a->host_keys[i];
	if (a->host_key_count > 0)
		o->host_keys.count = a->host_key_count;
}

static int show(const struct sshd_arguments *a, const struct sshd_config *c)
{
	static struct sshd_options o;
	static struct sshd_groups groups;
	struct sshd_query q = {0};
	struct error err = {0};
	struct buffer out;
	int r = 0;

	for (size_t i = 0; i < a->connection_count; i++) {
		char *text = strdup(a->connections[i]); /* the query points into it */

		if (text == NULL || sshd_query_parse(text, &q, &err) < 0)
			return fail(&err);
	}
	if (q.user != NULL) {
		sshd_groups_of(q.user, &groups);
		q.groups = groups.names;
		q.group_count = groups.count;
	}
	sshd_config_evaluate(c, &q, &o);
	sshd_arguments_override(a, &o);
	buffer_init(&out, 1 << 20);
	r = sshd_config_show(&o, &out);
	if (r == 0 && fwrite(out.data, 1, out.len, stdout) != out.len)
		r = -EIO;
	buffer_done(&out);
	return r < 0 || fflush(stdout) != 0 ? WARREN_EXIT_FAILED : WARREN_EXIT_OK;
}

static bool add(const char **list, size_t *count, size_t max, const char *value)
{
	if (*count == max)
		return false;
	list[(*count)++] = value;
	return true;
}

static bool parse_option(int option, struct sshd_arguments *a)
{
	char *end;
	unsigned long port;

	switch (option) {
	case 'D':
		a->foreground = true;
		return true;
	case 'i':
		a->inetd = true;
		return true;
	case 't':
		a->test = true;
		return true;
	case 'T':
		a->show = true;
		return true;
	case 'f':
		a->path = optarg;
		return true;
	case 'p':
		port = strtoul(optarg, &end, 10);
		if (*end != '\0' || port == 0 || port > 65535 || a->port_count == SSHD_PORTS_MAX)
			return false;
		a->ports[a->port_count++] = (uint16_t)port;
		return true;
	case 'h':
		return add(a->host_keys, &a->host_key_count, 16, optarg);
	case 'o':
		return add(a->options, &a->option_count, 64, optarg);
	case 'C':
		return add(a->connections, &a->connection_count, 16, optarg);
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static struct sshd_arguments a = {.path = SSHD_CONFIG_DIR};
	struct sshd_config *c = NULL;
	struct error err = {0};
	static char absolute[PATH_MAX];
	int option, status;

	if (getrlimit(RLIMIT_CORE, &a.core) < 0)
		return WARREN_EXIT_FAILED;
	log_init("warren-sshd", 2, LOG_LEVEL_INFO, getenv("WARREN_LOG_JSON") != NULL);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("warren-sshd " WARREN_VERSION);
		return WARREN_EXIT_OK;
	}
	while ((option = getopt(argc, argv, "DitTf:p:h:o:C:")) != -1)
		if (!parse_option(option, &a))
			return usage();
	if (optind != argc || (a.connection_count > 0 && !a.show))
		return usage();
	if (a.path[0] != '/' && realpath(a.path, absolute) != NULL)
		a.path = absolute; /* the daemon leaves this folder */
	if (!a.show)
		return a.test ? sshd_test(&a) : sshd_run(&a);
	if (sshd_arguments_load(&a, &c, &err) < 0)
		return fail(&err);
	status = show(&a, c);
	sshd_config_free(c);
	return status;
}
