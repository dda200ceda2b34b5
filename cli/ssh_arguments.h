/* SPDX-License-Identifier: Apache-2.0
 *
 * What `warren ssh` has to know of arguments that it passes on to ssh: where they lead, and nothing
 * else. Pure but for ssh_arguments_ask, which lets ssh itself read the person's configuration.
 */
#ifndef WARREN_CLI_SSH_ARGUMENTS_H
#define WARREN_CLI_SSH_ARGUMENTS_H

#include <stdbool.h>

#include "platform/error.h"

#define SSH_ARGUMENTS_MAX_HOPS 8

struct ssh_arguments {
	int host_index; /* in argv; 0: there is no host */
	char host[256], user[128], port[16];
	char jump[512];	  /* of -J or ProxyJump; empty: none */
	bool jump_option; /* it came by -o: our own options in front of it win */
	bool batch;
	bool terminated; /* by "--" in front of the host: ssh then takes no flags behind it */
	bool no_config;	 /* -F none */
	bool config;	 /* -F with a file */
	bool only_ssh;	 /* -O, -G, -Q, -V: nobody logs in */
};

/* argv[0] is the program. -EINVAL when a value or the host is missing. */
int ssh_arguments_parse(int argc, char **argv, struct ssh_arguments *ret_args) WARREN_MUST_USE;

/* Is there a configuration of the person's that could say more (user, host, port, jump)? */
bool ssh_arguments_configured(const struct ssh_arguments *args);
/* Asks `ssh -G` with the same arguments and takes user, host, port, jump and BatchMode from its
 * answer. False when ssh does not answer: what is wrong it says when it is run, and args are as
 * they were. */
bool ssh_arguments_ask(int argc, char **argv, struct ssh_arguments *args);
/* One line of that answer. */
void ssh_arguments_take_line(struct ssh_arguments *args, const char *line);

/* The arguments without any -J, NULL at the end; -ENOMEM. *ret_argv and its strings are never
 * freed: an exec follows. */
int ssh_arguments_without_jump(int argc, char **argv, int *ret_argc,
			       char ***ret_argv) WARREN_MUST_USE;

/* The last hop of "a,b,c" and what is in front of it ("a,b" or ""). False when a character of it
 * could mean something to a shell or to ssh's own tokens. */
bool ssh_arguments_last_hop(const char *jump, char rest[static 512], char hop[static 256]);
/* "user@host:port", "[v6]:port" or "ssh://user@host:port": the host alone. */
void ssh_arguments_hop_host(const char *hop, char host[static 256]);

#endif
