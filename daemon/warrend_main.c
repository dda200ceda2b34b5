/* SPDX-License-Identifier: Apache-2.0
 *
 * warrend: the broker, and the same program in its other roles (daemon/PROTOCOL.md).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/broker.h"
#include "daemon/engine.h"
#include "daemon/main.h"
#include "daemon/options.h"
#include "daemon/verifier.h"
#include "platform/log.h"
#include "platform/secret.h"
#include "platform/user.h"

/* Main keeps files and network of the host, and nothing that root has (main_sandbox.c). */
static int run_main(const struct daemon_options *o)
{
	struct error err = {0};
	bool found;
	uid_t uid;
	gid_t gid;
	int rc;

	(void)o;
	if (geteuid() == 0) {
		user_service_account("warren", &uid, &gid, &found);
		rc = user_drop_privileges(uid, gid);
		if (rc < 0) {
			log_error("cannot become the account warren", "error=%s", strerror(-rc));
			return WARREN_EXIT_FAILED;
		}
	}
	rc = secret_process_init(); /* a change of user may have made it dumpable again */
	if (rc == 0)
		rc = main_sandbox_enter(&err);
	if (rc < 0) {
		log_error("main cannot be confined", "error=%s",
			  err.code != 0 ? error_text(&err) : strerror(-rc));
		return WARREN_EXIT_FAILED;
	}
	return daemon_main_run();
}

static int run_engine(const struct daemon_options *o)
{
	return engine_run(o->shards);
}

static int run_verifier(const struct daemon_options *o)
{
	(void)o;
	return verifier_run();
}

static const struct {
	const char *role, *program;
	int (*run)(const struct daemon_options *o);
} roles[] = {
	{"engine", "warrend-engine", run_engine},
	{"main", "warrend-main", run_main},
	{"verifier", "warrend-verifier", run_verifier},
};

static int run(const struct daemon_options *o)
{
	if (o->role[0] == '\0') {
		log_init("warrend", STDERR_FILENO, o->log_level, o->log_json);
		return broker_run(o);
	}
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strcmp(roles[i].role, o->role) != 0)
			continue;
		log_init(roles[i].program, STDERR_FILENO, o->log_level, o->log_json);
		return roles[i].run(o);
	}
	fprintf(stderr, "warrend: --role is for warrend itself\n");
	return WARREN_EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct daemon_options options;
	struct error err = {0};
	int rc = secret_process_init();

	if (rc < 0) {
		fprintf(stderr, "warrend: cannot protect its memory: %s\n", strerror(-rc));
		return WARREN_EXIT_FAILED;
	}
	rc = options_parse(argc, argv, &options, &err);
	if (rc < 0) {
		fprintf(stderr, "warrend: %s\n", error_text(&err));
		return rc == -EINVAL ? WARREN_EXIT_USAGE : WARREN_EXIT_FAILED;
	}
	if (options.help) {
		fputs(options_usage, stdout);
		return WARREN_EXIT_OK;
	}
	if (options.version) {
		printf("warrend %s\n", WARREN_VERSION);
		return WARREN_EXIT_OK;
	}
	return run(&options);
}
