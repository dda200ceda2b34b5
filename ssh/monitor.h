/* SPDX-License-Identifier: Apache-2.0
 *
 * The monitor of one SSH connection (ssh/PROTOCOL.md): privileged, decides everything, parses no
 * SSH and no JSON. Private to ssh/: shared by monitor*.c, session.c, forward.c.
 */
#ifndef WARREN_SSH_MONITOR_H
#define WARREN_SSH_MONITOR_H

#include <security/pam_appl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "platform/buffer.h"
#include "platform/error.h"
#include "platform/log.h"
#include "platform/user.h"
#include "ssh/answer.h"
#include "ssh/authorized_keys.h"
#include "ssh/monitor_options.h"
#include "ssh/monitor_wire.h"
#include "ssh/verifier.h"
#include "ssh/wire/ssh_wire.h"
#include "ssh/wire/ssh_wire_audit.h"

#define MONITOR_MAX_LISTENERS 32
#define MONITOR_MAX_PENDING   128  /* connects under way */
#define MONITOR_MAX_DIRECT    1024 /* forwards that are open, for status */
#define MONITOR_MAX_USED      32   /* destinations that were connected to */
/* A worker that does not read for that long has lost its connection. In slices that the monitor saw pass
 * (answer.h), and the shorter time once the broker has a word, maybe the end of the login. */
#define MONITOR_REPLY_MS      10000
#define MONITOR_SEND_MS	      1000
#define MONITOR_INTERACTIVE_S 660 /* a person has ten minutes at control, whose words come first */
#define MONITOR_END_GRACE_NS  (2 * UINT64_C(1000000000))

enum monitor_state { MONITOR_KEX, MONITOR_AUTH, MONITOR_OPEN, MONITOR_ENDING };

/* A running command or shell. */
struct session {
	bool used;
	uint32_t channel;
	pid_t pid; /* also its session and process group */
	bool pty;
	uint32_t cap; /* POLICY_SSH_* that it needs */
	bool confined; /* files only */
	char tty[64];
	int log_fd; /* of a file transfer; -1: none */
	int pass_fd; /* where what is no log goes on to; -1: nowhere */
	struct buffer log_line;
	uint64_t began_ns;
};

struct listener {
	int fd; /* -1: free */
	char address[256];
	uint16_t asked_port, port;
	bool second;	  /* ::1 beside 127.0.0.1 */
	bool agent;	  /* one for the connection, as sshd */
	uint32_t channel; /* of the session that asked for the agent first */
	char path[104];	  /* agent: socket and folder are removed at the end */
};

struct pending_connect {
	int fd;	   /* of the helper; -1: free */
	pid_t pid; /* -1: reaped */
	uint32_t channel;
	uint64_t deadline_ns;
	char host[256];
	uint16_t port;
};

/* A destination that was connected to: judged again when policy changes. */
struct used_destination {
	char host[256];
	uint16_t port;
};

/* FORWARD's last yes: good for one CONNECT or LISTEN of the same. */
struct forward_permit {
	bool good;
	uint8_t kind;
	uint32_t port;
	char host[256];
};

/* An open forward, for status and the audit log. */
struct direct_forward {
	uint32_t channel;
	uint16_t port;
	uint64_t began_ns;
	char host[256];
};

/* A connection that a listener or an agent's socket took, for the audit log. */
struct accepted_forward {
	uint32_t channel;
	bool agent;
	uint64_t began_ns;
	char on[300], from[ENDPOINT_STRLEN];
};

struct monitor {
	struct ssh_wire_config config;
	struct monitor_options *options;
	uint8_t *host_secret; /* Ed25519 secret key[64], locked memory */
	uint8_t host_public[32];
	int broker_fd, main_fd, worker_fd, signal_fd;
	pid_t worker;
	struct verifier *verifier;
	enum monitor_state state;
	char ending_reason[256];
	uint64_t ending_deadline_ns, grace_deadline_ns;
	uint32_t asked; /* bits of 1 << type: requests that may be made once */
	uint32_t sign_count, auth_requests, auth_failures;
	uint8_t session_id[64];
	size_t session_id_len;
	char session_hash[65];

	char login[64]; /* that somebody tries, then the one logged in */
	struct user_account account;
	struct verifier_decision decision;
	struct authorized_keys_grant *key; /* the login's line in authorized_keys, or NULL */
	char method[24];
	bool logged_in;
	bool no_interactive;   /* who it is was proven, and refused: asking again helps nobody */
	uint32_t main_request; /* id of a pending LOGIN_START, our own; 0: none */
	uint32_t main_last_id;
	uint32_t interactive_id; /* of the worker's request that waits for it */
	bool waiting;		 /* the URL of main_request is shown */
	bool holding;		 /* main_request is for a "none" that is held open */
	int64_t since_s;
	uint64_t since_ns, again_ns; /* the login was judged again then */

	pam_handle_t *pam;
	bool pam_session_open, groups_ready;
	struct buffer pam_text;	  /* what PAM wants the person to read */
	/* Of sessions: as inherited, then as PAM sets them. The monitor keeps its own: with a user's
	 * few descriptors or seconds it could not serve the connection. */
	struct rlimit limits[RLIM_NLIMITS];
	struct session sessions[MONITOR_WIRE_SESSIONS];
	size_t session_count;
	bool no_more_sessions; /* but sessions_left */
	uint32_t sessions_left;
	pid_t ended[MONITOR_WIRE_SESSIONS]; /* process sessions that monitor_end has to see gone */
	size_t ended_count;
	struct listener listeners[MONITOR_MAX_LISTENERS];
	struct pending_connect pending[MONITOR_MAX_PENDING];
	uint64_t received, sent, state_sent_ns;
	bool trim_due; /* memory that a login needed goes back when nothing happens for a second */
	bool state_dirty;
	struct direct_forward direct[MONITOR_MAX_DIRECT];
	size_t direct_count, listener_count, accepted_count;
	struct accepted_forward accepted[MONITOR_MAX_DIRECT];
	uint32_t last_accepted;
	struct used_destination used[MONITOR_MAX_USED];
	size_t used_count;
	bool used_more; /* than fit */
	struct forward_permit permit;
	bool agent_permitted; /* FORWARD said yes to agents */
};

/* Whole program: `warren-ssh-session` as the broker starts it. Returns the exit status. */
int monitor_run(void);

/* ---- monitor.c */
/* Zeroed but for descriptors, which are -1. NULL without memory. */
struct monitor *monitor_new(void);
void monitor_free(struct monitor *m);
uint64_t monitor_now_ns(void);
int64_t monitor_now_s(void);
uint64_t monitor_grace_end_ns(const struct monitor *m); /* from now */
/* For a process that works for this connection: until LoginGraceTime is over; afterwards a while, which the
 * broker's word or the worker's end cuts short. pid as in answer.h. */
struct answer_limits monitor_patience(const struct monitor *m, pid_t pid);
/* Like unixsock_send on a non-blocking socket, but waits for room: MONITOR_SEND_MS. */
int monitor_send(int fd, const void *data, size_t len, const int *fds, size_t nfds) WARREN_MUST_USE;
/* To the worker, for which it waits MONITOR_REPLY_MS. */
int monitor_reply(struct monitor *m, const struct writer *w, const int *fds,
		  size_t nfds) WARREN_MUST_USE;
void monitor_begin(struct writer *w, uint8_t type, uint32_t id);
/* Ends the connection: END to the worker with the text, processes get SIGHUP, two seconds later all
 * is killed. The first reason counts. */
void monitor_end(struct monitor *m, const char *reason);

/* ---- monitor_table.c */
/* One packet of the worker: the table decides. 0, or -errno: the connection ends. */
int monitor_packet(struct monitor *m, const uint8_t *data, size_t len) WARREN_MUST_USE;
/* The worker lied: an audit event with a stable code, and -EPERM to be returned. */
int monitor_violation(struct monitor *m, const char *code, const char *detail) WARREN_MUST_USE;

/* ---- monitor_start.c */
/* Verifier, configuration, worker, the first object. */
int monitor_start(struct monitor *m) WARREN_MUST_USE;
/* Gives the verifier an object; the machine's name in it is used from then on. */
int monitor_take_object(struct monitor *m, int fd, struct error *err) WARREN_MUST_USE;

/* ---- monitor_report.c: audit lines, and what `status` shows. */
struct monitor_who {
	char client[ENDPOINT_STRLEN];
	const char *identity, *peer, *login;
};
struct monitor_who monitor_who(const struct monitor *m);
void monitor_state_changed(struct monitor *m);
void monitor_state_send(struct monitor *m, bool ended);
uint32_t monitor_forwards(const struct monitor *m);

/* ---- monitor_audit.c */
/* An audit event: a typed message to the broker. Borrows. */
void monitor_event(struct monitor *m, enum ssh_audit_event event,
		   const struct ssh_audit_field *fields, size_t count);
/* The log line alone. */
void monitor_audit_log(const struct monitor *m, const char *sentence, const char *key,
		       const char *value);
/* Both, for an event with one pair of its own; sentences that monitor_audit.c doesn't know are notes. */
void monitor_audit(struct monitor *m, const char *sentence, const char *key, const char *value);
/* code: a stable word for scripts: "policy", "certificate", "key", "account", "attempts", "timeout",
 * "login". */
void monitor_audit_refused(struct monitor *m, const char *code, const char *method,
			   const char *reason);
/* why NULL: allowed. */
void monitor_audit_forward(struct monitor *m, const char *to, const char *why);
void monitor_audit_listen(struct monitor *m, const char *on, const char *why);

/* ---- monitor_auth.c: requests of section 4 before a login, and what main answers. 0, or -errno:
 * the connection ends. */
/* One login for the whole connection: -EPERM (a violation) when another was named before. */
int monitor_auth_one_login(struct monitor *m, const char *login) WARREN_MUST_USE;
int monitor_auth_sign(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_none(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_query(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_key(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_password(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_interactive(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_cancel(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int monitor_auth_main(struct monitor *m, uint8_t type, uint32_t id,
		      struct reader *r) WARREN_MUST_USE;
/* ---- monitor_again.c: a new object, or the moment of again_at: is the login still allowed? */
void monitor_auth_again(struct monitor *m);

/* ---- monitor_token.c */
#define MONITOR_TOKEN_AGE_S    600
#define MONITOR_TOKEN_AUDIENCE "warren-ssh"
/* Who gave this token as password? 0 and the verifier's decision, or negative and a sentence. */
int monitor_token_judge(struct monitor *m, const uint8_t *token, size_t len,
			struct verifier_decision *ret_decision,
			char message[static 256]) WARREN_MUST_USE;

/* ---- monitor_keys.c */
#define MONITOR_KEYS_FINGERPRINT 52
/* May a login with this key or certificate come in by authorized_keys? remember: its signature was
 * verified, and m->key and ret_decision hold what its line allows. */
bool monitor_keys_allow(struct monitor *m, const uint8_t *blob, size_t len, bool remember,
			struct verifier_decision *ret_decision);
/* Takes away from d what the line does not allow. */
void monitor_keys_restrict(const struct monitor *m, struct verifier_decision *d);

/* ---- monitor_start.c, the worker's program */
#define MONITOR_WORKER_PROGRAM "warren-ssh-worker"
#define MONITOR_PATH_MAX       256
#define MONITOR_SFTP_PROGRAM   "warren-sftp-server"
/* A program beside this one, or -errno. */
int monitor_program_path(const char *name, char ret_path[static MONITOR_PATH_MAX]) WARREN_MUST_USE;
/* The worker's program, beside this one. */
int monitor_worker_path(char ret_path[static MONITOR_PATH_MAX]) WARREN_MUST_USE;

/* ---- monitor_proof.c */
/* As for monitor_signature_verify; borrowed. */
struct monitor_proof {
	const char *algorithm;
	const uint8_t *subject, *signature, *data;
	size_t subject_len, signature_len, data_len;
};
bool monitor_proof_verify(const struct monitor *m, const struct monitor_proof *p);
/* One packet to the worker's program in a mode of its own, in a process without rights, and one
 * back into answer[MONITOR_WIRE_MAX], which may be the request: its length, or negative. */
ssize_t monitor_helper(const struct monitor *m, const char *mode, const uint8_t *request, size_t len,
		       uint8_t *answer) WARREN_MUST_USE;
/* Is data exactly what RFC 4252 section 7 signs for this request? */
bool monitor_signature_data(const uint8_t *data, size_t len, const uint8_t *session_id,
			    size_t session_id_len, const char *login, const char *algorithm,
			    const uint8_t *blob, size_t blob_len);
/* Is it the name of a key or algorithm that monitor_signature_verify knows? */
bool monitor_signature_known(const char *algorithm);
/* Does the blob begin with the name of a certificate type? */
bool monitor_signature_certificate(const uint8_t *blob, size_t len);

/* ---- monitor_signature.c: needs OpenSSL, so the monitor's program calls monitor_proof_verify */
/* Does signature prove the key? subject: plain public key blob (RFC 4253 section 6.6) of the type
 * that goes with algorithm. signature: 64 bytes for Ed25519, mpint r and mpint s for ECDSA (RFC
 * 5656), the number for RSA (RFC 8332): what is inside of the SSH signature blob. */
bool monitor_signature_verify(const char *algorithm, const uint8_t *subject, size_t subject_len,
			      const uint8_t *signature, size_t signature_len, const uint8_t *data,
			      size_t len);

/* ---- account.c: the local account and PAM. */
/* 0, or -EACCES with a sentence for the person. */
int account_check(struct monitor *m, const char *login, struct error *err) WARREN_MUST_USE;
/* PAM's session, once for the connection, before the first process or forward. quiet: nobody will
 * read what PAM says, so that making the message of the day costs nothing. */
int account_open_session(struct monitor *m, bool quiet) WARREN_MUST_USE;
void account_close_session(struct monitor *m);
/* The limits that this process has now are those of sessions. */
int account_limits_keep(struct monitor *m) WARREN_MUST_USE;
/* In a forked child, before account_become. */
void account_limits(const struct monitor *m);
/* In a forked child: becomes the user for good; exits the process on any doubt. */
void account_become(const struct monitor *m);
/* Password field of an account that was locked (passwd -l, usermod -L). */
bool account_locked(const char *hash);

/* ---- session.c */
int session_start(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
/* The client wants no session but those whose channels are open already. */
int session_no_more(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int session_signal(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
/* Does a process run on this channel? */
bool session_runs(const struct monitor *m, uint32_t channel);
int session_close(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
/* A child of ours ended (waitpid status). */
void session_reaped(struct monitor *m, pid_t pid, int status);
void session_signal_all(struct monitor *m, int signal);
/* Every process of a login session that began with leader `sid`, not only its process group. */
void session_signal_tree(pid_t sid, int signal);
/* Bookkeeping for what runs on when the monitor ends. */
void session_forget_all(struct monitor *m);

/* ---- session_child.c: from fork to exec. */
/* A parsed SESSION request. */
struct session_wish {
	uint32_t channel;
	uint8_t kind;
	char *command;
	bool pty, agent;
	bool confined; /* served by warren-sftp-server in the home folder */
	bool logged;   /* by its log: session_log.c */
	char term[MONITOR_WIRE_TERM];
	struct winsize size;
	size_t env_count;
	/* On the heap: as arrays they would be half a megabyte, to be cleared and then copied at fork. */
	struct {
		char *name, *value;
	} env[MONITOR_WIRE_ENV_MAX];
};
#define SESSION_SFTP_SERVER "/usr/lib/openssh/sftp-server"
#define SESSION_LOG_FD	    3 /* of a confined transfer, for its log */
#define SESSION_LOG_FD_TEXT "3"
/* fds[3]: PTY slave three times, or pipe ends. log: -1, or what becomes SESSION_LOG_FD. tty, agent:
 * empty without. greeting: shown on a terminal. */
_Noreturn void session_child_run(struct monitor *m, const struct session_wish *wish,
				 const int fds[3], int log, const char *tty, const char *agent,
				 const char *greeting);

/* ---- session_env.c: in the user's process. What the account's own files add, of the names that
 * PermitUserEnvironment lists. */
typedef void (*session_env_fn)(void *ctx, const char *name, const char *value);
/* NAME=VALUE; false: it is none. */
bool session_env_line(const char *line, const struct sshd_options *o, session_env_fn set, void *ctx);
void session_env_file(const char *home, const struct sshd_options *o, session_env_fn set, void *ctx);

/* ---- session_rc.c: in the user's process, before its program. */
void session_rc_run(const struct monitor *m, const struct session_wish *wish, const char *shell,
		    char **env);

/* ---- session_log.c: what a file transfer did, read from its log. */
/* For sftp and confined commands: *ret_child_log is the child's end (of SESSION_LOG_FD, or when the log
 * is what it writes to stderr, of that). -1: there is no log. */
int session_log_open(struct session *s, const struct session_wish *wish,
		     int *ret_child_log) WARREN_MUST_USE;
/* The log is the child's stderr; passed is where what is no log goes on to (taken over). */
void session_log_pass(struct session *s, int passed);
/* Something to read, or the end. */
void session_log_ready(struct monitor *m, struct session *s);
/* Reads what is left and closes. */
void session_log_close(struct monitor *m, struct session *s);

/* ---- session_record.c: utmp, wtmp and lastlog of terminals, where the files exist. */
void session_record(const struct monitor *m, const char *tty, pid_t pid, bool begin);
/* "Last login: …" of the time before, empty without; then this login is the last. */
void session_record_last(const struct monitor *m, const char *tty, char *ret_text, size_t cap);

/* ---- forward_permit.c */
int forward_ask(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
/* Was that the last yes? It is used up either way. */
bool forward_permit_take(struct monitor *m, enum monitor_wire_forward kind, const char *host,
			 uint32_t port);
bool forward_allowed_by(const struct verifier_decision *d, const char *host, uint16_t port);
/* NULL: allowed, else the sentence. */
const char *forward_connect_forbidden(const struct monitor *m, const char *host, uint32_t port);
const char *forward_listen_forbidden(const struct monitor *m, const char *address, uint32_t port);

/* ---- forward.c */
void forward_init(struct monitor *m);
int forward_connect(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int forward_listen(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
int forward_unlisten(struct monitor *m, uint32_t id, struct reader *r) WARREN_MUST_USE;
/* A pending helper answered or its time is over; a listener has a connection. */
int forward_pending_ready(struct monitor *m, struct pending_connect *p,
			  bool timed_out) WARREN_MUST_USE;
int forward_accept(struct monitor *m, struct listener *l) WARREN_MUST_USE;
/* The worker closed a channel that may have been a forward; bytes are its word. */
void forward_closed(struct monitor *m, uint32_t channel, uint64_t received, uint64_t sent);
/* At the end: records for what the worker did not close. */
void forward_audit_rest(struct monitor *m);
void forward_reaped(struct monitor *m, pid_t pid);
/* POLICY_SSH_* that forwards in use need, and whether d still allows their destinations. */
uint32_t forward_caps_used(const struct monitor *m);
bool forward_destinations_allowed(const struct monitor *m, const struct verifier_decision *d);
/* The connection's agent socket, made by the user at the first call. */
int forward_agent_open(struct monitor *m, uint32_t channel, char *ret_path,
		       size_t cap) WARREN_MUST_USE;
void forward_close_all(struct monitor *m);

/* ---- forward_helper.c: short-lived processes with the user's rights. */
struct forward_task {
	int (*open)(struct forward_task *t, char message[static 128]); /* a descriptor or -errno */
	char host[256];
	uint16_t port;
	struct ip_addr listen;
	char path[104]; /* agent; fits sun_path */
};
int forward_helper_connect(struct forward_task *t, char message[static 128]);
int forward_helper_listen(struct forward_task *t, char message[static 128]);
int forward_helper_agent(struct forward_task *t, char message[static 128]);
int forward_helper_remove_agent(struct forward_task *t, char message[static 128]);
int forward_helper_start(struct monitor *m, struct forward_task *t, int *ret_fd,
			 pid_t *ret_pid) WARREN_MUST_USE;
/* The helper's one packet: a descriptor, or -EACCES and its message. path may be NULL. */
int forward_helper_result(int fd, char *path, size_t path_cap,
			  char message[static 128]) WARREN_MUST_USE;
/* Starts and waits: for what is quick by nature. */
int forward_helper_run(struct monitor *m, struct forward_task *t,
		       char message[static 128]) WARREN_MUST_USE;

#define FORWARD_CONNECT_LIMIT_S 30

#endif
