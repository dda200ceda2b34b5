/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the broker share. One thread, one poll(2) loop; every descriptor in here is the
 * broker's own, close-on-exec.
 */
#ifndef WARREN_DAEMON_BROKER_INTERNAL_H
#define WARREN_DAEMON_BROKER_INTERNAL_H

#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/break_glass.h"
#include "ssh/config/hostkey.h"
#include "daemon/broker_loop.h"
#include "daemon/options.h"
#include "daemon/switches.h"
#include "daemon/verifier.h"
#include "daemon/wire.h"
#include "platform/buffer.h"
#include "platform/error.h"
#include "platform/log.h"
#include "platform/tun.h"
#include "ssh/config/startups.h"

#define BROKER_RUN_DIR	    "/run/warren"
#define BROKER_MAX_SESSIONS 1000
#define BROKER_MAX_STATE    (16 * 1024) /* bytes of one session's JSON */

/* engine or main */
struct broker_child {
	const char *role;
	pid_t pid; /* 0: not running */
	int sock;  /* -1: closed */
	uint64_t started_ns;
	uint64_t restart_ns; /* when to start it again; 0: not waiting */
	unsigned backoff_ms;
};

/* What CONFIGURE asks for. */
struct broker_config {
	struct ip_prefix addr4, addr6; /* with host bits; family 0: none */
	struct ip_prefix route4, route6;
	uint16_t mtu;
	uint16_t port;
};

struct broker_net {
	bool up;
	struct broker_config config;
	char ifname[IFNAMSIZ];
	int tuns[DAEMON_MAX_SHARDS]; /* queues of the one interface; [shards] are open, or none */
	struct tun_caps caps;
	int udp4[DAEMON_MAX_SHARDS], udp6[DAEMON_MAX_SHARDS];
	uint16_t port; /* that was free */
	uint16_t mtu;  /* of the interface, as the engine knows it; 0: not yet */
	int monitor;   /* netlink events */
	bool link_up;  /* as last told to main */
	/* SSH (design section 8) */
	uint8_t ssh_mode; /* enum wire_ssh_mode */
	int ssh_ns, ssh_tuns[DAEMON_MAX_SHARDS];
	struct tun_caps ssh_caps;
	int listen4, listen6;
	bool intercepting;
	char ssh_note[256]; /* why it is not in a namespace of its own, or not at all */
};

/* SESSION_DISPLACED: ends, and no longer counts. */
enum broker_session_state {
	SESSION_UNAUTHENTICATED,
	SESSION_WAITING,
	SESSION_AUTHENTICATED,
	SESSION_DISPLACED,
};

struct broker_session {
	struct broker_session *next;
	uint32_t id;
	pid_t pid;
	int sock;
	enum broker_session_state state;
	struct ip_addr source;
	struct endpoint client;
	uint64_t began_ns;
	bool exchanged;	  /* its first key exchange is done */
	bool audited_end; /* the monitor's last event came */
	bool told;	  /* main knows of it */
	bool unsent;	  /* main had no room for the last state */
	bool gone;	  /* its end came as JSON */
	uint64_t kill_ns; /* 0: not ending */
	char *json;	  /* last state, or NULL */
	size_t json_len;
};

/* One object of type "ssh" on its way through the verifier. */
struct broker_verification {
	pid_t pid; /* 0: none runs */
	int pipe;
	int object;
	uint32_t request;
	uint64_t deadline_ns;
	/* The next one, when it came meanwhile. */
	int next_object; /* -1: none */
	uint32_t next_request;
};

/* sshd_config(5) of the embedded server. */
struct broker_sshd {
	bool loaded;	     /* some configuration is in force */
	uint64_t stamp;	     /* of the files as they were read last */
	char *watched;	     /* sshd_config_watched; NULL: nothing */
	struct buffer text;  /* for monitors */
	struct sshd_startups startups;
	bool tcp_keep_alive;
	char note[512];	     /* what is wrong with the files; "": nothing */
};

struct broker_ssh {
	struct broker_sshd sshd;
	int object; /* -1: none accepted */
	uint64_t seq;
	bool enabled; /* by that object */
	struct broker_session *sessions;
	size_t session_count;
	bool serving;	    /* new connections are taken */
	uint64_t linger_ns; /* ended sessions may still say goodbye until then; 0: none */
	bool teardown;	    /* main waits for that */
	uint32_t teardown_request;
	uint32_t next_id;
	struct broker_verification verification;
	char program[256]; /* warren-ssh-session; "": not installed */
	int root;	   /* the empty folder of all monitors; -1: not made yet */
};

struct broker_root_client;
struct audit_log;
struct journal;

struct broker {
	const struct daemon_options *options;
	bool privileged; /* root: engine, interface and SSH are possible */
	bool stopping;
	struct broker_loop *loop;
	int signals;
	uid_t main_uid;
	gid_t main_gid;
	bool main_account, engine_account; /* exist */
	char *cannot;			   /* why there can be no interface; NULL: it can */
	int lock, root_dir, main_dir;
	int ipc, root_listener;
	struct broker_root_client *root_clients;
	size_t root_client_count;
	char root_socket[112];
	struct switches_state state;
	struct hostkey hostkey;
	struct break_glass break_glass;
	struct audit_log *audit; /* NULL: cannot be written */
	uint64_t audit_lost; /* while it could not be opened */
	uint64_t audit_retry_ns; /* not opened again before then */
	uint64_t audit_sync_ns; /* 0: all is synced */
	struct log_limit audit_limit;
	struct journal *journal;
	struct broker_child engine, main;
	uint32_t engine_request;
	unsigned shards;		   /* threads of the engine */
	int steer4, steer6, steer_program; /* platform/bpf.h, for this engine; -1: one shard */
	struct broker_net net;
	struct broker_ssh ssh;
	uint64_t next_sweep_ns;
	uint8_t in[DAEMON_MAX_MESSAGE];
	uint8_t out[DAEMON_MAX_MESSAGE];
};

uint64_t broker_now(void); /* monotonic ns */

/* broker_children.c: engine and main. */
/* fds[i] becomes descriptor 3 + i of the new program. argv[0] is shown; program is a path.
 * clean_env: nothing but PATH. */
int broker_spawn(const char *program, char *const argv[], const int *fds, size_t nfds,
		 bool clean_env, pid_t *ret_pid) WARREN_MUST_USE;
/* A sealed memfd with these bytes. */
int broker_memfd(const char *name, const void *data, size_t len, int *ret_fd) WARREN_MUST_USE;
/* A read-only descriptor of the same file with an offset of its own. */
int broker_reopen(int fd, int *ret_fd) WARREN_MUST_USE;
void broker_children_tick(struct broker *b, uint64_t now_ns);
uint64_t broker_children_deadline(const struct broker *b);
/* true when the pid was engine or main. */
bool broker_children_reaped(struct broker *b, pid_t pid, int status);
void broker_children_restart_main(struct broker *b);
void broker_children_stop(struct broker *b);
/* Sends and waits for the engine's answer (at most 2 s; then it is killed and comes back anew).
 * w begins with wire_begin(…, broker_engine_begin()). */
struct writer broker_engine_begin(struct broker *b, uint8_t type);
int broker_engine_call(struct broker *b, const struct writer *w, const int *fds,
		       size_t nfds) WARREN_MUST_USE;

/* broker_main_link.c: messages with main. */
void broker_main_ready(struct broker *b, int fd, void *ctx);
void broker_main_tell_switches(struct broker *b);
void broker_main_tell_control(struct broker *b);
void broker_main_tell_link(struct broker *b, bool up);
void broker_main_tell_session(struct broker *b, struct broker_session *s);
/* -EAGAIN: main does not read (it is started anew) or there is none. */
int broker_main_send(struct broker *b, const struct writer *w, const int *fds, size_t nfds);
void broker_main_reply(struct broker *b, uint32_t request, int rc, const char *sentence);

/* broker_net.c: interface, addresses, sockets. */
void broker_net_init(struct broker_net *n);
/* Which shard gets which packet: made anew for each engine. Decides at the first call whether there
 * can be more than one. */
int broker_steer_new(struct broker *b) WARREN_MUST_USE;
/* Gives the program to a TUN with a queue per shard (nothing with one shard). */
int broker_steer_attach(struct broker *b, int tun) WARREN_MUST_USE;
/* Tells the engine. */
int broker_steer_tell(struct broker *b) WARREN_MUST_USE;
int broker_tun_open(struct broker *b, const char *name, char ret_name[static IFNAMSIZ], int *fds,
		    struct tun_caps *ret_caps, struct error *err) WARREN_MUST_USE;
int broker_tun_attach(struct broker *b, uint8_t which, const int *fds,
		      const struct tun_caps *caps) WARREN_MUST_USE;
void broker_close_all(int fds[static DAEMON_MAX_SHARDS]);
int broker_net_configure(struct broker *b, const struct broker_config *config,
			 struct error *err) WARREN_MUST_USE;
void broker_net_teardown(struct broker *b);
/* Hands everything that is up to a new engine. */
int broker_net_attach_all(struct broker *b) WARREN_MUST_USE;
bool broker_net_interface_exists(const struct broker *b);

/* broker_ssh_net.c: the namespace and the listeners of the SSH server. */
void broker_ssh_net_start(struct broker *b); /* fills ssh_mode and ssh_note */
void broker_ssh_net_stop(struct broker *b);
/* The namespace's interface gets the MTU of ours. */
void broker_ssh_net_mtu(struct broker *b);

/* broker_ssh.c: connections and their monitors. */
void broker_ssh_init(struct broker *b);
/* Brings listener and interception to what switches, object and interface say now. */
void broker_ssh_apply(struct broker *b);
/* TEARDOWN: once sessions have been ended, the interface goes and main gets its answer. */
void broker_ssh_teardown(struct broker *b, uint32_t request);
/* A teardown that still waits is done now. */
void broker_ssh_teardown_now(struct broker *b);
void broker_ssh_end_all(struct broker *b, const char *reason);
bool broker_ssh_end(struct broker *b, uint32_t id, const char *reason);
void broker_ssh_accept(struct broker *b, int fd, void *ctx);
bool broker_ssh_reaped(struct broker *b, pid_t pid, int status);
void broker_ssh_tick(struct broker *b, uint64_t now_ns);
uint64_t broker_ssh_deadline(const struct broker *b);

/* broker_sshd_config.c: sshd_config(5). */
void broker_sshd_config_init(struct broker *b);
/* Reads the files when they changed. What cannot be read is told, and what was read before stays. */
void broker_sshd_config_refresh(struct broker *b);

/* broker_object.c: signed objects of type "ssh". */
/* Takes fd. The answer goes to main when the verifier is done. */
void broker_object_offer(struct broker *b, uint32_t request, int fd);
bool broker_object_reaped(struct broker *b, pid_t pid, int status);
void broker_object_tick(struct broker *b, uint64_t now_ns);
void broker_object_forget(struct broker *b);

/* broker_state.c: the state directory. */
int broker_state_open(struct broker *b, struct error *err) WARREN_MUST_USE;
int broker_state_pin(struct broker *b, const struct switches_pin *pin,
		     struct error *err) WARREN_MUST_USE;
/* Root's choice: the next pin is the first one. */
int broker_state_forget(struct broker *b, struct error *err) WARREN_MUST_USE;
/* Main's: the next pin must have the same key, and another peer's holds SSH back until root agrees.
 */
int broker_state_leave(struct broker *b, struct error *err) WARREN_MUST_USE;
/* Root agrees: SSH is served for the peer that is pinned, or that will be next. */
int broker_state_release(struct broker *b, struct error *err) WARREN_MUST_USE;

/* broker_audit.c: the audit log. */
void broker_audit_open(struct broker *b);
void broker_audit_close(struct broker *b);
void broker_audit_tick(struct broker *b, uint64_t now_ns);
uint64_t broker_audit_deadline(const struct broker *b);
/* members: `"event":"…",…` of one record; NULL: there was no memory for it. Lost events are counted. */
void broker_audit_append(struct broker *b, const char *members);
void broker_audit_turned_away(struct broker *b, const struct endpoint *client, const char *line);
/* A monitor ended without its last event. */
void broker_audit_died(struct broker *b, const struct broker_session *s, int status);
/* Root changed a switch. */
void broker_audit_switches(struct broker *b);
/* Root pinned or unpinned a break-glass CA, or revoked a certificate of one. */
void broker_audit_break_glass(struct broker *b);

/* broker_root.c: root's socket. */
int broker_root_listen(struct broker *b, struct error *err) WARREN_MUST_USE;
void broker_root_stop(struct broker *b);

/* broker_names.c: the names that ssh asks about. */
/* Reads the fields of SSH_NAMES. -EBADMSG: the file stays as it is. */
int broker_names_set(struct broker *b, struct reader *r) WARREN_MUST_USE;
void broker_names_remove(const struct broker *b);

/* broker_userdir.c: /run/warren/u. */
int broker_userdir_make(uid_t uid, struct error *err) WARREN_MUST_USE;
/* Removes files whose time (mtime) has come under the open folder of users. */
void broker_userdir_sweep(int users_fd, int64_t now_s);
void broker_userdir_sweep_default(int64_t now_s);

#endif
