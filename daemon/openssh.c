/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers for OpenSSH's drop-in. detect answers from the map, without network. prepare makes sure
 * of a fresh login and fetches a certificate; where policy refuses one, ssh still goes to the
 * target, which says the reason itself, and where no server can be reached it goes on with the
 * certificate that the caller has of before. Refuses hosts that are not ours, and TCP 22 that our own
 * policy drops.
 */
#include "daemon/openssh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/login.h"
#include "daemon/openssh_fresh.h"
#include "platform/json.h"
#include "platform/log.h"
#include "platform/secret.h"

#define MAX_REMEMBERED 256
#define MAX_TOKEN      65536
#define SSH_PORT       22
#define SSH_MESH_PORT  22022
#define PROBE_MS       3000 /* a certificate is at hand: nobody waits longer for control */

/* OpenSSH's %C, told by detect and asked for by prepare, which ssh does not give it. */
struct remembered {
	uid_t uid;
	uint16_t port;
	char host[256], user[64], hash[72];
};

struct openssh {
	struct remembered list[MAX_REMEMBERED];
	size_t next;
	struct openssh_fresh fresh;
};

int openssh_new(struct main_core *m)
{
	m->openssh = calloc(1, sizeof(*m->openssh));
	return m->openssh == NULL ? -ENOMEM : 0;
}

static bool hash_valid(const char *hash)
{
	size_t len = strspn(hash, "0123456789abcdefABCDEF");

	return len > 0 && len < sizeof(((struct remembered *)0)->hash) && hash[len] == '\0';
}

static struct remembered *find(struct openssh *o, uid_t uid, const char *host, uint16_t port,
			       const char *user)
{
	for (size_t i = 0; i < MAX_REMEMBERED; i++) {
		struct remembered *x = &o->list[i];

		if (x->hash[0] != '\0' && x->uid == uid && x->port == port &&
		    strcmp(x->host, host) == 0 && strcmp(x->user, user) == 0)
			return x;
	}
	return NULL;
}

/* The newest of host, port and user wins. */
static void remember(struct openssh *o, uid_t uid, const char *host, uint16_t port,
		     const char *user, const char *hash)
{
	struct remembered *x = find(o, uid, host, port, user);

	if (!hash_valid(hash) || strlen(host) >= sizeof(x->host) || strlen(user) >= sizeof(x->user))
		return;
	if (x == NULL)
		x = &o->list[o->next++ % MAX_REMEMBERED];
	x->uid = uid;
	x->port = port;
	(void)stpcpy(x->host, host);
	(void)stpcpy(x->user, user);
	(void)stpcpy(x->hash, hash);
}

struct target_args {
	char host[256], user[64], hash[72];
	uint16_t port;
};

static int get_optional(const json_t *args, const char *key, char *out, size_t cap)
{
	const json_t *value = json_object_get(args, key);

	out[0] = '\0';
	return value == NULL || json_is_null(value) ? 0
						    : json_get_string(args, key, out, cap, NULL);
}

static int read_args(const json_t *args, struct target_args *a)
{
	int64_t port = SSH_PORT;

	if (json_get_string(args, "host", a->host, sizeof(a->host), NULL) < 0 ||
	    get_optional(args, "user", a->user, sizeof(a->user)) < 0 ||
	    get_optional(args, "hash", a->hash, sizeof(a->hash)) < 0)
		return -EINVAL;
	if (json_object_get(args, "port") != NULL &&
	    json_get_int(args, "port", 0, 65535, &port, NULL) < 0)
		return -EINVAL;
	a->port = port == 0 ? SSH_PORT : (uint16_t)port;
	return 0;
}

static bool is_up(const struct main_core *m)
{
	return m->network.wanted_up && m->interface[0] != '\0' && m->peers != NULL;
}

/* A peer whose SSH is ours to serve, or NULL and why not. */
static const struct peer *ssh_peer(const struct main_core *m, const char *host, uint16_t port,
				   const char **ret_why)
{
	bool self;
	const struct peer *p = is_up(m) ? peers_by_host(m->peers, host, &self) : NULL;

	if (!is_up(m))
		*ret_why = "the mesh is down on this machine: run `warren up`";
	else if (p == NULL)
		*ret_why = "there is no such machine in the mesh, or no rule connects it with this "
			   "one";
	else if (self)
		*ret_why = "this is the machine itself";
	else if (port != SSH_PORT && port != SSH_MESH_PORT)
		*ret_why = "Warren serves SSH on port 22 only";
	else if (!p->ssh_enabled)
		*ret_why = "SSH is not enabled for it on the control server";
	else if (!p->ssh_advertised)
		*ret_why = "its SSH server is off (`warren up --allow-server-ssh` turns it on)";
	else
		return p;
	return NULL;
}

static void detect(struct main_core *m, struct ipc_request *r, const struct target_args *args)
{
	struct target_args a = *args;
	const struct peer *p;
	const struct remembered *seen;
	const char *why = "";
	char address[IP_ADDR_STRLEN];

	p = ssh_peer(m, a.host, a.port, &why);
	if (p == NULL) {
		bool self;
		const struct peer *other = is_up(m) ? peers_by_host(m->peers, a.host, &self) : NULL;

		/* Of a machine of the mesh: where its own sshd would be. */
		ipc_request_result(
			r,
			json_pack("{s:n,s:s,s:s,s:s}", "login", "reason", why, "fqdn",
				  other != NULL ? other->fqdn : "", "address",
				  other != NULL ? ip_addr_format(&other->overlay4, address) : ""));
		return;
	}
	remember(m->openssh, r->cred.uid, a.host, a.port, a.user, a.hash);
	seen = find(m->openssh, r->cred.uid, a.host, a.port, a.user);
	ipc_request_result(r, json_pack("{s:s,s:s,s:s,s:s,s:s}", "login", "identity", "fqdn",
					p->fqdn, "peer", p->id, "address",
					ip_addr_format(&p->overlay4, address), "hash",
					seen != NULL ? seen->hash : ""));
}

struct detection {
	struct ipc_request *request; /* NULL: gone */
	struct target_args args;
};

static void on_detect_gone(struct ipc_request *r)
{
	struct detection *d = r->data;

	d->request = NULL;
}

/* Without the folder the proxy will say what is wrong. */
static void on_detect_directory(struct main_core *m, void *ctx, bool ok, const char *sentence,
				struct reader *reader)
{
	struct detection *d = ctx;

	(void)ok;
	(void)sentence;
	(void)reader;
	if (d->request != NULL) {
		d->request->on_gone = NULL;
		detect(m, d->request, &d->args);
	}
	free(d);
}

/* A login that never comes to our proxy (ssh -J) finds the host keys in the caller's folder, which
 * detect writes: so it is made here the first time. */
static bool needs_directory(const struct main_core *m, const struct ipc_request *r,
			    const struct target_args *a)
{
	const char *why;
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/run/warren/u/%u", r->cred.uid);
	return a->hash[0] != '\0' && ssh_peer(m, a->host, a->port, &why) != NULL &&
	       lstat(path, &st) < 0 && errno == ENOENT;
}

void openssh_detect(struct main_core *m, struct ipc_request *r)
{
	struct detection *d;
	struct target_args a;
	uint8_t fields[4];
	struct writer w = writer_init(fields, sizeof(fields));

	if (read_args(r->args, &a) < 0) {
		ipc_request_error(r, WARREN_EXIT_USAGE, "ssh_detect wants a host");
		return;
	}
	d = needs_directory(m, r, &a) ? calloc(1, sizeof(*d)) : NULL;
	if (d == NULL) {
		detect(m, r, &a);
		return;
	}
	d->request = r;
	d->args = a;
	r->data = d;
	r->on_gone = on_detect_gone;
	writer_u32(&w, (uint32_t)r->cred.uid);
	main_broker_request(m, WIRE_USER_DIR, &w, -1, on_detect_directory, d);
}

void openssh_hostkey(struct main_core *m, struct ipc_request *r)
{
	char asked[300], host[300];
	const struct peer *p;
	json_t *lines = json_array();
	const json_t *key;
	bool self = false;
	size_t i, len;

	if (lines == NULL || json_get_string(r->args, "host", asked, sizeof(asked), NULL) < 0) {
		json_decref(lines);
		ipc_request_error(r, WARREN_EXIT_USAGE, "ssh_hostkey wants a host");
		return;
	}
	/* "name" or "[name]:port", as in known_hosts */
	(void)stpcpy(host, asked[0] == '[' ? asked + 1 : asked);
	len = strcspn(host, "]");
	host[len] = '\0';
	p = peers_by_host(m->peers, host, &self);
	if (p != NULL && !self) {
		json_array_foreach(json_object_get(json_object_get(p->value, "ssh"), "host_keys"),
				   i, key)
		{
			const char *text = json_string_value(key);

			/* One line of two words: nothing of it may become a line of its own. */
			if (text == NULL || strcspn(text, "\r\n\"@#") != strlen(text))
				continue;
			(void)json_array_append_new(lines, json_sprintf("%s %s", asked, text));
		}
	}
	ipc_request_result(r, json_pack("{s:o}", "lines", lines));
}

/* ---- prepare */

struct prepare {
	struct main_core *m;
	struct ipc_request *request;
	struct target_args args;
	char public_key[1024];
	char *workload_token; /* secret_strdup or NULL: no person is asked */
	char peer[32];
	uint8_t asked[32]; /* openssh_fresh_request */
	bool interactive, browser, again;
	int64_t held_until_s; /* the caller's certificate of before ends then; 0: none */
	struct login_wait *wait;
	struct control_call *call;
	bool gone;   /* the client went away while the broker works */
	bool broker; /* the broker is asked */
	json_t *result;
};

static void prepare_free(struct prepare *p)
{
	secret_free(p->workload_token);
	json_decref(p->result);
	free(p);
}

static void fail(struct prepare *p, int exit_code, const char *message)
{
	struct ipc_request *r = p->request;

	r->on_gone = NULL;
	ipc_request_error(r, exit_code, "%s", message);
	prepare_free(p);
}

static void on_gone(struct ipc_request *r)
{
	struct prepare *p = r->data;

	login_cancel(p->wait);
	control_call_cancel(p->call);
	p->wait = NULL;
	p->call = NULL;
	if (p->broker)
		p->gone = true; /* its answer frees it */
	else
		prepare_free(p);
}

static void on_directory(struct main_core *m, void *ctx, bool ok, const char *sentence,
			 struct reader *reader)
{
	struct prepare *p = ctx;
	struct ipc_request *r = p->request;

	(void)m;
	(void)reader;
	if (p->gone) {
		prepare_free(p);
		return;
	}
	p->broker = false;
	if (!ok) {
		fail(p, WARREN_EXIT_FAILED, sentence);
		return;
	}
	r->on_gone = NULL;
	ipc_request_result(r, json_incref(p->result));
	prepare_free(p);
}

/* The folder for key and certificate, then the answer. */
static void finish(struct prepare *p, json_t *certificate, json_int_t valid_before,
		   const char *note)
{
	const struct peer *peer = peers_by_id(p->m->peers, p->peer);
	char v4[IP_ADDR_STRLEN], v6[IP_ADDR_STRLEN], directory[64];
	struct remembered *seen;
	const char *hash = p->args.hash;
	uint8_t fields[4];
	struct writer w = writer_init(fields, sizeof(fields));

	if (peer == NULL) {
		json_decref(certificate);
		fail(p, WARREN_EXIT_FAILED, "the machine has left the mesh");
		return;
	}
	seen = find(p->m->openssh, p->request->cred.uid, p->args.host, p->args.port, p->args.user);
	if (hash[0] == '\0' && seen != NULL)
		hash = seen->hash;
	(void)snprintf(directory, sizeof(directory), "/run/warren/u/%u", p->request->cred.uid);
	p->result = json_pack(
		"{s:s,s:[s,s],s:i,s:o,s:I,s:s,s:s,s:s}", "fqdn", peer->fqdn, "addresses",
		ip_addr_format(&peer->overlay4, v4), ip_addr_format(&peer->overlay6, v6), "port",
		(int)p->args.port, "certificate", certificate == NULL ? json_null() : certificate,
		"valid_before", valid_before, "directory", directory, "hash", hash, "note", note);
	p->broker = true;
	writer_u32(&w, (uint32_t)p->request->cred.uid);
	main_broker_request(p->m, WIRE_USER_DIR, &w, -1, on_directory, p);
}

static void begin_login(struct prepare *p, unsigned flags);

/* With the certificate of before. */
static void go_on(struct prepare *p, const char *reason)
{
	time_t end_s = (time_t)p->held_until_s;
	char note[600], until[32] = "";
	struct tm tm;

	if (localtime_r(&end_s, &tm) != NULL)
		(void)strftime(until, sizeof(until), "%F %T", &tm);
	(void)snprintf(note, sizeof(note), "%s; your certificate of before is good until %s", reason,
		       until);
	finish(p, NULL, 0, note);
}

static void on_certificate(void *ctx, const struct control_reply *reply)
{
	struct prepare *p = ctx;
	int64_t valid_before = 0;
	const char *text = NULL;

	p->call = NULL;
	if (reply->error == 0 && reply->status == 200 && reply->body != NULL &&
	    json_get_text(reply->body, "certificate", 16384, &text, NULL) == 0 &&
	    json_get_int(reply->body, "valid_before", 0, INT64_MAX, &valid_before, NULL) == 0) {
		openssh_fresh_keep(&p->m->openssh->fresh, p->asked, main_now_ns(p->m), text,
				   valid_before);
		finish(p, json_string(text), valid_before, "");
		return;
	}
	if (strcmp(reply->code, "login_required") == 0) {
		if (!p->again && p->interactive && p->workload_token == NULL) {
			p->again = true;
			begin_login(p, LOGIN_FORCE);
		} else {
			fail(p, WARREN_EXIT_LOGIN_NEEDED, reply->message);
		}
		return;
	}
	if (reply->error != 0 && p->held_until_s > 0)
		go_on(p, reply->message);
	else /* The target says the reason itself, in the session's own words. */
		finish(p, NULL, 0,
		       reply->message[0] != '\0' ? reply->message : "there is no certificate");
}

/* kind: "id_token" or "workload_token". */
static void ask_for_certificate(struct prepare *p, const char *kind, const char *token)
{
	json_t *body;
	const char *fresh;
	int64_t valid_before = 0;
	int r;

	openssh_fresh_request(p->asked, p->request->cred.uid, p->peer, p->args.user, p->public_key,
			      token);
	fresh = openssh_fresh_find(&p->m->openssh->fresh, p->asked, main_now_ns(p->m),
				   &valid_before);
	if (fresh != NULL) {
		finish(p, json_string(fresh), valid_before, "");
		return;
	}
	body = json_pack("{s:s,s:s,s:s,s:s}", "target", p->peer, "login", p->args.user,
			 "public_key", p->public_key, kind, token);
	r = body == NULL ? -ENOMEM
			 : control_client_call(p->m->control, "POST", "/v1/ssh/cert", NULL, body,
					       p->held_until_s > 0 ? PROBE_MS : 0, on_certificate,
					       p, &p->call);
	json_decref(body);
	if (r < 0)
		fail(p, WARREN_EXIT_FAILED, "the control server cannot be asked for a certificate");
}

static void on_login(void *ctx, const struct login_result *result)
{
	struct prepare *p = ctx;

	const struct main_core *m = p->m;
	char text[1000];

	p->wait = NULL;
	if (result->exit_code == WARREN_EXIT_OK) {
		ask_for_certificate(p, "id_token", result->token);
	} else if (result->unreachable && p->held_until_s > 0) {
		go_on(p, result->message);
	} else if (!p->interactive && m->control_error[0] != '\0') {
		(void)snprintf(text, sizeof(text),
			       "you are not logged in, there is no certificate of before for %s, "
			       "and %s",
			       p->args.host, m->control_error);
		fail(p, result->exit_code, text);
	} else {
		fail(p, result->exit_code, result->message);
	}
}

static void on_prompt(void *ctx, const struct login_prompt *prompt)
{
	struct prepare *p = ctx;

	ipc_request_event(p->request, "prompt",
			  json_pack("{s:s,s:s,s:s}", "url", prompt->url, "code", prompt->code,
				    "verification_uri", prompt->verification_uri));
}

static void begin_login(struct prepare *p, unsigned flags)
{
	struct login_ops ops = {p, on_prompt, on_login};

	if (p->browser)
		flags |= LOGIN_BROWSER;
	login_want(p->m, p->request->cred.uid, flags, &ops, &p->wait);
}

/* Any answer will do. */
static void on_probe(void *ctx, const struct control_reply *reply)
{
	struct prepare *p = ctx;

	p->call = NULL;
	if (reply->error != 0)
		go_on(p, reply->message);
	else
		begin_login(p, p->interactive ? 0 : LOGIN_CACHED_ONLY);
}

/* A certificate of before is good for work while control is down, and for nothing else: where
 * control answers, there is a new one or a reason why not. Without a cache of logins (one login,
 * one connection) none serves twice. */
static void begin(struct prepare *p)
{
	struct main_core *m = p->m;
	char query[64];

	if (json_integer_value(json_object_get(m->switches, "ssh_jwt_cache_ttl")) == 0)
		p->held_until_s = 0;
	(void)snprintf(query, sizeof(query), "target=%s", p->peer);
	if (p->held_until_s > 0 && !control_client_connected(m->control) &&
	    m->control_error[0] != '\0') {
		go_on(p, m->control_error); /* the stream tries all the time */
		return;
	}
	if (p->held_until_s > 0 && !control_client_connected(m->control) &&
	    control_client_call(m->control, "GET", "/v1/ssh/ca", query, NULL, PROBE_MS, on_probe, p,
				&p->call) == 0)
		return;
	begin_login(p, p->interactive ? 0 : LOGIN_CACHED_ONLY);
}

static int read_held(struct prepare *p, const json_t *args)
{
	int64_t until_s = 0;

	if (json_object_get(args, "certificate_until") == NULL)
		return 0;
	if (json_get_int(args, "certificate_until", 0, INT64_MAX, &until_s, NULL) < 0)
		return -EINVAL;
	if (until_s > main_now_s(p->m))
		p->held_until_s = until_s;
	return 0;
}

void openssh_prepare(struct main_core *m, struct ipc_request *r)
{
	struct prepare *p = calloc(1, sizeof(*p));
	const struct peer *peer;
	const char *why = "", *token = NULL;
	struct error reason = {0};

	if (p == NULL || read_args(r->args, &p->args) < 0 || p->args.user[0] == '\0' ||
	    json_get_string(r->args, "public_key", p->public_key, sizeof(p->public_key), NULL) <
		    0) {
		free(p);
		ipc_request_error(r, WARREN_EXIT_USAGE,
				  "ssh_prepare wants host, user and public_key");
		return;
	}
	p->m = m;
	p->request = r;
	if (read_held(p, r->args) < 0) {
		fail(p, WARREN_EXIT_USAGE, "\"certificate_until\" is no time");
		return;
	}
	if (json_object_get(r->args, "workload_token") != NULL &&
	    (json_get_text(r->args, "workload_token", MAX_TOKEN, &token, NULL) < 0 ||
	     (p->workload_token = secret_strdup(token)) == NULL)) {
		fail(p, WARREN_EXIT_USAGE, "the token is too long or no text");
		return;
	}
	p->interactive = !json_is_false(json_object_get(r->args, "interactive"));
	p->browser = json_is_true(json_object_get(r->args, "browser"));
	r->data = p;
	r->on_gone = on_gone;
	peer = ssh_peer(m, p->args.host, p->args.port, &why);
	if (peer == NULL) {
		char text[600];

		(void)snprintf(text, sizeof(text), "%s: %s", p->args.host, why);
		fail(p, WARREN_EXIT_FAILED, text);
		return;
	}
	(void)stpcpy(p->peer, peer->id);
	/* Through another machine it is that one which must reach the target. */
	if (!json_is_true(json_object_get(r->args, "jump")) &&
	    !policy_allows(m->policy, m->world, m->peers->self.id, peer->id, POLICY_PROTO_TCP,
			   SSH_PORT, main_now_s(m), &reason)) {
		char text[600];

		(void)snprintf(text, sizeof(text), "policy does not allow %s to reach %s on TCP 22",
			       m->peers->self.name, peer->name);
		fail(p, WARREN_EXIT_DENIED, text);
		return;
	}
	if (p->workload_token != NULL)
		ask_for_certificate(p, "workload_token", p->workload_token);
	else
		begin(p);
}
