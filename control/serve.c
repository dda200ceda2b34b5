/* SPDX-License-Identifier: Apache-2.0
 *
 * The server's life: folders, signer child, certificate and listeners while we are root; then the
 * service account and its sandbox; then store, network, provider, routes; then the loop. Owns the order of all of
 * it and of the way back.
 */
#include "control/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/api.h"
#include "control/issuers.h"
#include "control/server_impl.h"
#include "control/signer.h"
#include "control/state.h"
#include "control/stun.h"
#include "control/tls_cert.h"
#include "identity/signed.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "platform/secret.h"
#include "platform/user.h"

#define ACCOUNT "warren-control"

struct paths {
	char signer[320], db_dir[320], db[352], tls_dir[320], cert[352], key[352];
};

struct serve {
	struct control_config config;
	struct control c;
	struct paths paths;
	uv_loop_t loop;
	uv_signal_t term, interrupt;
	uv_timer_t watch;
	struct api *api;
	struct stun *stun;
	char spki[64], pin[80];
	bool signals, failed;
};

/* ---- while we may be root ---- */

static int make_dirs(struct serve *s, struct error *err)
{
	struct paths *p = &s->paths;
	const char *dir = s->config.state_dir;
	char socket_dir[sizeof(s->config.admin_socket)], *slash;
	int r;

	snprintf(p->signer, sizeof(p->signer), "%s/signer", dir);
	snprintf(p->db_dir, sizeof(p->db_dir), "%s/db", dir);
	snprintf(p->db, sizeof(p->db), "%s/db/control.sqlite", dir);
	snprintf(p->tls_dir, sizeof(p->tls_dir), "%s/tls", dir);
	snprintf(p->cert, sizeof(p->cert), "%s/tls/cert.pem", dir);
	snprintf(p->key, sizeof(p->key), "%s/tls/key.pem", dir);
	r = file_make_dirs(dir, 0755);
	if (r == 0)
		r = file_ensure_dir(p->db_dir, 0700, (uid_t)-1, (gid_t)-1);
	if (r == 0)
		r = file_ensure_dir(p->tls_dir, 0700, (uid_t)-1, (gid_t)-1);
	if (r < 0)
		return error_set(err, r, "the state folder %s cannot be made: %s", dir,
				 strerror(-r));
	snprintf(socket_dir, sizeof(socket_dir), "%s", s->config.admin_socket);
	slash = strrchr(socket_dir, '/');
	if (slash && slash != socket_dir) {
		*slash = 0;
		r = file_make_dirs(socket_dir, 0755);
	}
	if (r < 0)
		return error_set(err, r, "the folder of the admin socket %s cannot be made: %s",
				 s->config.admin_socket, strerror(-r));
	(void)umask(0077);
	return 0;
}

static int make_certificate(struct serve *s, struct error *err)
{
	struct control_config *config = &s->config;
	char host[256];
	int r = 0;

	if (config->tls_self_made) {
		if (tls_cert_url_host(config->public_url, host, sizeof(host)) < 0)
			return error_set(err, -EINVAL, "%s names no host", config->public_url);
		r = tls_cert_ensure(s->paths.cert, s->paths.key, host, err);
	} else {
		snprintf(s->paths.cert, sizeof(s->paths.cert), "%s", config->tls_cert);
		snprintf(s->paths.key, sizeof(s->paths.key), "%s", config->tls_key);
	}
	if (r == 0)
		r = tls_cert_spki(s->paths.cert, s->spki, sizeof(s->spki), err);
	if (r == 0)
		snprintf(s->pin, sizeof(s->pin), "sha256//%s", s->spki);
	return r;
}

static int open_listeners(struct serve *s, struct error *err)
{
	const struct server_config config = {
		.loop = &s->loop,
		.listen = s->config.listen,
		.tls_cert_pem = s->paths.cert,
		.tls_key_file = s->paths.key,
		.admin_socket = s->config.admin_socket,
	};
	int r = server_new(&config, &s->c.server, err);

	if (r == 0 && s->config.stun_listen[0])
		r = stun_new(&s->loop, s->config.stun_listen, &s->stun, err);
	return r;
}

/* The database's files belong to the account; earlier starts may have made them as root. */
static int give_database(const struct paths *p, uid_t uid, gid_t gid)
{
	static const char *const names[] = {"control.sqlite", "control.sqlite-wal",
					    "control.sqlite-shm"};
	int dir = open(p->db_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = 0;

	if (dir < 0 || fchown(dir, uid, gid) < 0)
		r = -errno;
	for (size_t i = 0; r == 0 && i < 3; i++)
		if (fchownat(dir, names[i], uid, gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
			r = -errno;
	file_close(&dir);
	return r;
}

static int become_account(struct serve *s, struct error *err)
{
	uid_t uid;
	gid_t gid;
	bool found;
	int r;

	if (geteuid() != 0) {
		log_warn("not started as root: the HTTP process could read the signer's key files, "
			 "which "
			 "are of the same user",
			 "uid=%u", (unsigned)geteuid());
		return 0;
	}
	user_service_account(ACCOUNT, &uid, &gid, &found);
	if (!found) {
		log_warn("no account warren-control: the HTTP process stays root (make one with "
			 "useradd "
			 "--system warren-control)",
			 NULL);
		return 0;
	}
	r = give_database(&s->paths, uid, gid);
	if (r == 0 && chown(s->config.admin_socket, uid, gid) < 0)
		r = -errno;
	if (r == 0)
		r = user_drop_privileges(uid, gid);
	if (r == 0)
		r = secret_process_init();
	if (r < 0)
		return error_set(err, r, "cannot become the user warren-control: %s", strerror(-r));
	return 0;
}

/* ---- parts ---- */

static int make_oidc(struct serve *s, struct error *err)
{
	int r = http_new(&s->loop, "warren-control/" WARREN_VERSION, &s->c.http);

	if (r < 0)
		return error_set(err, r, "the HTTP client cannot be made: %s", strerror(-r));
	return issuers_start(s->c.issuers, s->pin, err);
}

static int make_parts(struct serve *s, struct error *err)
{
	struct control *c = &s->c;
	int r = store_new(&s->loop, &store_sqlite_ops, s->paths.db, c->random, &c->store, err);

	if (r == 0)
		r = state_new(c, &c->state, err);
	if (r == 0)
		r = make_oidc(s, err);
	if (r == 0)
		r = api_new(c, s->spki, &s->api, err);
	if (r == 0 && (r = admin_routes(c)) < 0)
		error_set(err, r, "the admin API's routes cannot be added: %s", strerror(-r));
	if (r == 0 && !s->config.issuer[0]) {
		r = issuer_new(c, &c->issuer, err);
		if (r == 0 && (r = issuer_routes(c->issuer)) < 0)
			error_set(err, r, "the issuer's routes cannot be added: %s", strerror(-r));
	}
	if (r == 0)
		r = login_service_new(c, &c->login, err);
	return r;
}

/* ---- the loop ---- */

static void on_signal(uv_signal_t *signal, int number)
{
	log_info("ending", "signal=%d", number);
	uv_stop(signal->loop);
}

static void on_watch(uv_timer_t *timer)
{
	struct serve *s = timer->data;

	if (!signer_broken(s->c.signer))
		return;
	log_error("the signer child is gone: ending, so that a supervisor starts both again", NULL);
	s->failed = true;
	uv_stop(&s->loop);
}

static int start_watching(struct serve *s)
{
	int r = uv_signal_init(&s->loop, &s->term);

	if (r == 0)
		r = uv_signal_init(&s->loop, &s->interrupt);
	if (r == 0)
		r = uv_timer_init(&s->loop, &s->watch);
	if (r < 0)
		return r;
	s->signals = true;
	s->watch.data = s;
	r = uv_signal_start(&s->term, on_signal, SIGTERM);
	if (r == 0)
		r = uv_signal_start(&s->interrupt, on_signal, SIGINT);
	return r < 0 ? r : uv_timer_start(&s->watch, on_watch, 1000, 1000);
}

static void say_ready(const struct serve *s)
{
	uint8_t signing[32], other[32], print[SIGNED_FINGERPRINT_BYTES];
	char text[ENCODE_BASE64URL_SIZE(SIGNED_FINGERPRINT_BYTES)] = "";

	if (signer_public(s->c.signer, signing, other, other) == 0) {
		signed_fingerprint(signing, print);
		encode_base64url(text, print, sizeof(print));
	}
	log_info("ready", "control=%s#%s listen=%s stun=%s socket=%s network=%s peers=%zu",
		 s->config.public_url, text, s->config.listen,
		 s->config.stun_listen[0] ? s->config.stun_listen : "off", s->config.admin_socket,
		 state_network(s->c.state), state_peer_count(s->c.state));
	if (!s->config.issuer[0] && s->config.tls_self_made && !s->config.demo)
		log_warn("the embedded issuer asks for no passwords on a self-made certificate: "
			 "give "
			 "tls_cert and tls_key, or try it out with --demo",
			 NULL);
}

/* Lets the loop finish what closing needs, but not for ever. */
static void run_out(struct serve *s)
{
	uint64_t until = uv_hrtime() + 2 * NSEC_PER_SEC;

	while (uv_run(&s->loop, UV_RUN_NOWAIT) && uv_hrtime() < until)
		(void)usleep(2000);
}

static void finish(struct serve *s)
{
	struct control *c = &s->c;

	if (c->state)
		state_stop(c->state);
	if (c->server)
		server_stop(c->server);
	stun_stop(s->stun);
	if (c->store)
		store_close(c->store);
	login_service_free(c->login);
	issuer_free(c->issuer);
	issuers_stop(c->issuers);
	run_out(s);
	if (c->http)
		http_free(c->http);
	if (s->signals) {
		uv_close((uv_handle_t *)&s->term, NULL);
		uv_close((uv_handle_t *)&s->interrupt, NULL);
		uv_close((uv_handle_t *)&s->watch, NULL);
	}
	run_out(s);
	api_free(s->api);
	state_free(c->state);
	store_free(c->store);
	server_free(c->server);
	signer_free(c->signer);
	issuers_free(c->issuers);
	(void)uv_loop_close(&s->loop);
}

static int start(struct serve *s, struct error *err)
{
	int r = make_dirs(s, err);

	if (r == 0)
		r = signer_new(s->paths.signer, &s->c.signer, err);
	if (r == 0)
		r = make_certificate(s, err);
	if (r == 0)
		r = issuers_new(&s->c, &s->c.issuers, err);
	if (r == 0)
		r = open_listeners(s, err);
	if (r == 0)
		r = become_account(s, err);
	if (r == 0)
		r = serve_sandbox_enter(err);
	if (r == 0)
		r = make_parts(s, err);
	if (r == 0 && (r = start_watching(s)) < 0)
		error_set(err, r, "no signal handlers: %s", uv_strerror(r));
	if (r == 0)
		r = server_start(s->c.server, err);
	return r;
}

int serve_run(const struct control_config *config, const struct config_more *more)
{
	struct serve *s = calloc(1, sizeof(*s));
	enum log_level level;
	struct error err = {0};
	int r;

	if (!s || log_level_parse(more->log_level, &level) < 0) {
		fprintf(stderr,
			"warren-control: \"%s\" is no log level: write error, warn, info or "
			"debug\n",
			more->log_level);
		free(s);
		return WARREN_EXIT_USAGE;
	}
	log_init("warren-control", STDERR_FILENO, level, more->log_json);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(0022); /* folders that the account must pass through */
	s->config = *config;
	s->c = (struct control){.config = &s->config,
				.loop = &s->loop,
				.clock = &clock_system,
				.random = &random_system};
	r = uv_loop_init(&s->loop);
	if (r < 0) {
		fprintf(stderr, "warren-control: no event loop: %s\n", uv_strerror(r));
		free(s);
		return WARREN_EXIT_FAILED;
	}
	r = start(s, &err);
	if (r == 0) {
		say_ready(s);
		(void)uv_run(&s->loop, UV_RUN_DEFAULT);
	} else {
		fprintf(stderr, "warren-control: %s\n", error_text(&err));
	}
	bool failed = r < 0 || s->failed;
	finish(s);
	free(s);
	return failed ? WARREN_EXIT_FAILED : WARREN_EXIT_OK;
}
