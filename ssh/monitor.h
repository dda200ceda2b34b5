/* SPDX-License-Identifier: Apache-2.0
 *
 * The monitor of one SSH connection (ssh/PROTOCOL.md): privileged, decides everything, parses no SSH
 * and no JSON. Private to ssh/: shared by monitor*.c, session.c, forward.c.
 */
#ifndef WARREN_SSH_MONITOR_H
#define WARREN_SSH_MONITOR_H

#include <security/pam_appl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/buffer.h"
#include "platform/error.h"
#include "platform/user.h"
#include "ssh/monitor_wire.h"
#include "ssh/verifier.h"
#include "ssh/wire/ssh_wire.h"

#define MONITOR_MAX_LISTENERS 16
#define MONITOR_MAX_PENDING   64  /* connects under way */
#define MONITOR_MAX_AGENTS    4
#define MONITOR_INTERACTIVE_S 600 /* a person may take that long to log in */
#define MONITOR_END_GRACE_NS  (2 * UINT64_C(1000000000))

enum monitor_state { MONITOR_KEX, MONITOR_AUTH, MONITOR_OPEN, MONITOR_ENDING };

/* A running command or shell. */
struct session {
	bool used;
	uint32_t channel;
	pid_t pid;
	bool pty;
	char tty[64];
};

struct listener {
	int fd; /* -1: free */
	char address[256];
	uint16_t asked_port, port;
	bool agent;
	uint32_t channel;  /* of an agent's session */
	char path[104];    /* agent: socket and folder are removed at the end */
};

struct pending_connect {
	int fd; /* of the helper; -1: free */
	pid_t pid;
	uint32_t channel;
	uint64_t deadline_ns;
};

struct monitor {
	struct ssh_wire_config config;
	uint8_t *host_secret; /* Ed25519 secret key[64], locked memory */
	uint8_t host_public[32];
	int broker_fd, main_fd, worker_fd, signal_fd;
	pid_t worker;
	struct verifier *verifier;
	enum monitor_state state;
	char ending_reason[256];
	uint64_t ending_deadline_ns, grace_deadline_ns;
	bool hello_done, waiting;
	uint32_t sign_count, auth_tries;
	uint8_t session_id[64];
	size_t session_id_len;
	char session_hash[65];

	char login[64];                 /* that somebody tries, then the one logged in */
	struct user_account account;
	struct verifier_decision decision;
	char method[24];
	uint32_t main_request;          /* id of a pending LOGIN_START; 0: none */
	uint32_t interactive_id;
	int64_t since_s;

	pam_handle_t *pam;
	bool pam_session_open;
	struct buffer pam_text;         /* what PAM wants the person to read */
	struct session sessions[MONITOR_WIRE_SESSIONS];
	size_t session_count;
	struct listener listeners[MONITOR_MAX_LISTENERS];
	struct pending_connect pending[MONITOR_MAX_PENDING];
	uint64_t received, sent, state_sent_ns;
	bool state_dirty;
	uint32_t forwards;
};

/* Whole program: `warren-ssh-session` as the broker starts it. Returns the exit status. */
int monitor_run(void);

/* ---- monitor.c */
uint64_t monitor_now_ns(void);
int64_t monitor_now_s(void);
int monitor_reply(struct monitor *m, const struct writer *w, const int *fds, size_t nfds)
	WARREN_MUST_USE;
void monitor_begin(struct writer *w, uint8_t type, uint32_t id);
/* Ends the connection: END to the worker with the text, processes get SIGHUP, two seconds later all is
 * killed. The first reason counts. */
void monitor_end(struct monitor *m, const char *reason);
/* An audit event: one log line. pairs as in log_write. */
void monitor_audit(struct monitor *m, const char *event, const char *key, const char *value);
void monitor_state_changed(struct monitor *m);

/* ---- monitor_auth.c: requests of section 4 before a login, and what main answers. 0, or -errno: the
 * connection ends. */
int monitor_auth_sign(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_none(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_query(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_key(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_interactive(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_cancel(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_main(struct monitor *m, uint8_t type, uint32_t id, struct reader *r)
	WARREN_MUST_USE;
/* A new object, or the moment of again_at: is the login still allowed? */
void monitor_auth_again(struct monitor *m);
/* Is data exactly what RFC 4252 section 7 signs for this request? (Exported for tests.) */
bool monitor_auth_signed_data(const uint8_t *data, size_t len, const uint8_t *session_id,
			      size_t session_id_len, const char *login, const char *algorithm,
			      const uint8_t *blob, size_t blob_len);

/* ---- account.c: the local account and PAM. */
/* 0, or -EACCES with a sentence for the person. */
int account_check(struct monitor *m, const char *login, struct error *err) WARREN_MUST_USE;
int account_open_session(struct monitor *m) WARREN_MUST_USE;
void account_close_session(struct monitor *m);
/* In a forked child: becomes the user for good; exits the process on any doubt. */
void account_become(const struct user_account *account);

/* ---- session.c */
int session_start(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int session_signal(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int session_close(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
/* A child of ours ended (waitpid status). */
void session_reaped(struct monitor *m, pid_t pid, int status);
void session_signal_all(struct monitor *m, int signal);

/* ---- forward.c */
int forward_connect(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int forward_listen(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int forward_unlisten(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
/* A pending helper answered or its time is over; a listener has a connection. */
int forward_pending_ready(struct monitor *m, struct pending_connect *p, bool timed_out)
	WARREN_MUST_USE;
int forward_accept(struct monitor *m, struct listener *l) WARREN_MUST_USE;
/* An agent socket for a session, made by the user. */
int forward_agent_open(struct monitor *m, uint32_t channel, char *ret_path, size_t cap)
	WARREN_MUST_USE;
void forward_close_agent(struct monitor *m, uint32_t channel);
void forward_close_all(struct monitor *m);
void forward_init(struct monitor *m);

#endif
