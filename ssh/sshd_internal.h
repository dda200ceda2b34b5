/* SPDX-License-Identifier: Apache-2.0
 *
 * What sshd*.c share. One thread, one poll(2) loop.
 */
#ifndef WARREN_SSH_SSHD_INTERNAL_H
#define WARREN_SSH_SSHD_INTERNAL_H

#include <sys/types.h>

#include "platform/addr.h"
#include "platform/buffer.h"
#include "ssh/config/hostkey.h"
#include "ssh/config/sshd_check.h"
#include "ssh/sshd.h"
#include "ssh/wire/ssh_wire.h"

#define SSHD_SESSIONS_MAX 1000

struct sshd_audit;

struct sshd_listeners {
	size_t count;
	int fds[SSHD_LISTEN_MAX];
	struct endpoint at[SSHD_LISTEN_MAX];
};

/* What is in force. */
struct sshd_force {
	struct sshd_config *config;
	struct sshd_options options; /* without anybody's connection */
	struct buffer text;	     /* for monitors */
	struct hostkey key;
	struct rlimit core; /* of what is executed */
	size_t ca_count;
	uint8_t ca[SSH_WIRE_BREAK_GLASS_MAX][32];
};
/* ---- sshd_force.c */
enum sshd_force_flag {
	SSHD_FORCE_DRY = 1 << 0,     /* only a look: nothing is made, no default must be there */
	SSHD_FORCE_LISTENS = 1 << 1, /* names of ListenAddress must be known */
};
/* Files, -o, host key, authorities and what else is named; ret_force is untouched when something is
 * wrong: err has the first sentence, ret_findings all but that of a line that does not parse. */
int sshd_force_load(const struct sshd_arguments *a, unsigned flags, struct sshd_force *ret_force,
		    struct sshd_findings *ret_findings, struct error *err) WARREN_MUST_USE;
void sshd_force_done(struct sshd_force *f);

/* ---- sshd_listen.c */
int sshd_listen_open(const struct sshd_options *o, struct sshd_listeners *l,
		     struct error *err) WARREN_MUST_USE;
/* Sockets of a service manager; none: *l is empty. */
int sshd_listen_handed(struct sshd_listeners *l, struct error *err) WARREN_MUST_USE;
/* Sockets for the addresses that are wanted now; those that stay are not touched. When none could be
 * listened on, an error, and what was there stays. */
int sshd_listen_change(const struct sshd_options *o, struct sshd_listeners *l,
		       struct error *err) WARREN_MUST_USE;
void sshd_listen_close(struct sshd_listeners *l);

/* ---- sshd_spawn.c */
/* A monitor for the connection, which is borrowed. *ret_sock: the broker's end of its socket. */
int sshd_spawn(const struct sshd_force *f, uint32_t id, int connection, int *ret_sock,
	       pid_t *ret_pid) WARREN_MUST_USE;
/* Serves the connection on standard input: a child becomes its monitor, and this process keeps the
 * audit log until it ends. Returns on failure, else exits. */
int sshd_spawn_here(const struct sshd_force *f, struct sshd_audit *audit) WARREN_MUST_USE;

/* ---- sshd_audit.c */
/* folder: AuditLog, NULL for none. Opened with the first record. NULL without memory. */
struct sshd_audit *sshd_audit_new(const char *folder);
void sshd_audit_free(struct sshd_audit *a); /* syncs; NULL is fine */
/* Syncs and closes the files, so that after fork(2) each process locks for itself. */
void sshd_audit_settle(struct sshd_audit *a);
/* Could records be written to this folder? make: it is made when it is missing; else it could be. */
int sshd_audit_check(const char *folder, bool make, struct error *err) WARREN_MUST_USE;
bool sshd_audit_writes_to(const struct sshd_audit *a, const char *folder);
/* The next packet of a monitor, without waiting: 1, or 0 when there is none now, or -EPIPE at the end.
 * *ret_type: what it was. *ended: its last event came. */
int sshd_audit_hear(struct sshd_audit *a, int sock, uint32_t id, const struct endpoint *client,
		    uint8_t *ret_type, bool *ended) WARREN_MUST_USE;
/* A monitor ended without its last event; a connection was not even taken. */
void sshd_audit_died(struct sshd_audit *a, uint32_t id, const struct endpoint *client);
void sshd_audit_turned_away(struct sshd_audit *a, const struct endpoint *client, const char *line);
/* members: of the record, as of audit_log_append. */
void sshd_audit_append(struct sshd_audit *a, const char *members);
/* Does what is due; milliseconds until there is more, -1: nothing. */
int sshd_audit_tick(struct sshd_audit *a);


/* ---- sshd_relay.c */
/* Carries bytes between two descriptors and a socket until the socket's side is done. */
void sshd_relay_run(int in, int out, int sock);

/* ---- sshd_daemon.c */
/* Goes into the background; the parent ends. *ret_log: what the process and its children write to
 * standard error, to be given to sshd_daemon_log. */
int sshd_daemon_detach(int *ret_log, struct error *err) WARREN_MUST_USE;
/* Passes lines to syslog. false at the end of the pipe. */
bool sshd_daemon_log(int log, int facility);
void sshd_daemon_pid_file(const char *path, bool make);
void sshd_daemon_notify(const char *state);

#endif
