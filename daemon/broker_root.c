/* SPDX-License-Identifier: Apache-2.0
 *
 * Root's socket (daemon/PROTOCOL.md section 5): the only way to change what could open the machine.
 * One object a line, answered at once; everything is on disk before the answer.
 */
#include "daemon/broker_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/ipc/ipc.h"
#include "identity/signed.h"
#include "platform/file.h"
#include "platform/json.h"
#include "platform/log.h"
#include "platform/unixsock.h"

enum { MAX_CLIENTS = 8, MAX_LINE_BYTES = 64 * 1024, READ_BYTES = 4096 };

struct broker_root_client {
	struct broker_root_client *next;
	int fd;
	struct buffer in;
};

static void drop(struct broker *b, struct broker_root_client *c)
{
	for (struct broker_root_client **at = &b->root_clients; *at; at = &(*at)->next) {
		if (*at != c)
			continue;
		*at = c->next;
		b->root_client_count--;
		break;
	}
	broker_loop_del(b->loop, c->fd);
	file_close(&c->fd);
	buffer_done(&c->in);
	free(c);
}

/* Something that was allowed no longer is. */
static bool narrowed(const struct switches *old, const struct switches *new)
{
	return (old->enable_ssh_root && !new->enable_ssh_root) ||
	       (old->enable_ssh_sftp && !new->enable_ssh_sftp) ||
	       (old->enable_ssh_local_port_forwarding && !new->enable_ssh_local_port_forwarding) ||
	       (old->enable_ssh_remote_port_forwarding &&
		!new->enable_ssh_remote_port_forwarding) ||
	       (old->disable_ssh_auth && !new->disable_ssh_auth) ||
	       (old->enable_ssh_authorized_keys && !new->enable_ssh_authorized_keys) ||
	       (old->enable_ssh_jwt_password && !new->enable_ssh_jwt_password);
}

static int cmd_set(struct broker *b, const json_t *request, struct error *err)
{
	static const char *const keys[] = {"id", "cmd", "switches", NULL};
	struct switches old = b->state.switches, new = old;
	json_t *object = NULL;
	int rc = json_only_keys(request, keys, err);

	if (rc == 0)
		rc = json_get_object(request, "switches", &object, err);
	if (rc == 0)
		rc = switches_update(&new, object, err);
	if (rc == 0 && json_is_true(json_object_get(object, "allow_server_ssh")))
		rc = broker_state_release(b, err);
	if (rc < 0)
		return rc;
	rc = switches_save(b->root_dir, &new, &b->state.control);
	if (rc < 0)
		return error_set(err, rc, "cannot save the switches: %s; nothing was changed",
				 strerror(-rc));
	b->state.switches = new;
	log_info("root changed the switches",
		 "allow_server_ssh=%d enable_ssh_root=%d "
		 "disable_ssh_auth=%d",
		 new.allow_server_ssh, new.enable_ssh_root, new.disable_ssh_auth);
	broker_audit_switches(b);
	if (narrowed(&old, &new))
		broker_ssh_end_all(b, "the administrator of this machine narrowed what SSH may do");
	broker_ssh_apply(b);
	broker_main_tell_switches(b);
	return 0;
}

static int cmd_break_glass(struct broker *b, const json_t *request, struct error *err)
{
	struct break_glass new = b->break_glass;
	bool narrowed = false;
	int rc = break_glass_apply(&new, request, &narrowed, err);

	if (rc < 0)
		return rc;
	if (memcmp(&new, &b->break_glass, sizeof(new)) == 0)
		return 0;
	rc = break_glass_save(b->root_dir, &new);
	if (rc < 0)
		return error_set(err, rc, "cannot save the break-glass CAs: %s; nothing was changed",
				 strerror(-rc));
	b->break_glass = new;
	broker_audit_break_glass(b);
	log_warn("root changed the break-glass CAs", "pinned=%zu revoked=%zu", new.count,
		 new.revoked_count);
	if (narrowed)
		broker_ssh_end_all(b, "the administrator of this machine withdrew break-glass access");
	broker_ssh_apply(b);
	broker_main_tell_switches(b);
	return 0;
}

static bool same_control(const struct switches_control *a, const struct switches_control *b)
{
	return strcmp(a->url, b->url) == 0 && a->has_fingerprint == b->has_fingerprint &&
	       memcmp(a->fingerprint, b->fingerprint, sizeof(a->fingerprint)) == 0;
}

/* Does the pinned key stay the right one under the new choice? */
static bool pin_stays(const struct broker *b, const struct switches_control *new)
{
	uint8_t fingerprint[SIGNED_FINGERPRINT_BYTES];

	if (!b->state.pin.set && !b->state.pin.left)
		return true;
	if (!new->has_fingerprint) /* the same server by name, without a promise about its key */
		return strcmp(new->url, b->state.control.url) == 0;
	signed_fingerprint(b->state.pin.signing_key, fingerprint);
	return memcmp(fingerprint, new->fingerprint, sizeof(fingerprint)) == 0;
}

static int cmd_control(struct broker *b, const json_t *request, struct error *err)
{
	static const char *const keys[] = {"id", "cmd", "url", "fingerprint", NULL};
	struct switches_control new;
	int rc = json_only_keys(request, keys, err);

	if (rc == 0)
		rc = switches_control_parse(request, &new, err);
	if (rc == 0 && b->state.pin.left) /* root sends this machine into a network */
		rc = broker_state_release(b, err);
	if (rc < 0)
		return rc;
	if (same_control(&new, &b->state.control))
		return 0;
	/* The pin goes first: a crash in between leaves a machine that has to enrol again, never
	 * one that believes the wrong key. */
	if (!pin_stays(b, &new)) {
		rc = broker_state_forget(b, err);
		if (rc < 0)
			return rc;
	}
	rc = switches_save(b->root_dir, &b->state.switches, &new);
	if (rc < 0)
		return error_set(err, rc, "cannot save the choice of control server: %s",
				 strerror(-rc));
	b->state.control = new;
	log_info("root chose a control server", "url=%s", new.url);
	broker_main_tell_control(b);
	return 0;
}

static json_t *state_json(const struct broker *b)
{
	json_t *object = switches_json(&b->state.switches);

	if (object &&
	    json_object_set_new(object, "control", switches_control_json(&b->state.control)) < 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* The answer; NULL without memory. */
static json_t *serve(struct broker *b, const json_t *request)
{
	static const char *const get_keys[] = {"id", "cmd", NULL};
	struct error err = {0};
	char cmd[16] = "";
	int64_t id = 0;
	int rc;

	rc = json_get_int(request, "id", 0, INT64_MAX, &id, &err);
	if (rc == -ENOENT)
		rc = 0;
	if (rc == 0)
		rc = json_get_string(request, "cmd", cmd, sizeof(cmd), &err);
	if (rc == 0) {
		if (strcmp(cmd, "get") == 0)
			rc = json_only_keys(request, get_keys, &err);
		else if (strcmp(cmd, "set") == 0)
			rc = cmd_set(b, request, &err);
		else if (strcmp(cmd, "control") == 0)
			rc = cmd_control(b, request, &err);
		else if (strcmp(cmd, "break_glass") == 0)
			rc = cmd_break_glass(b, request, &err);
		else
			rc = error_set(&err, -EINVAL, "there is no command \"%s\" here", cmd);
	}
	if (rc < 0)
		return json_pack("{s:I, s:{s:s, s:i}}", "id", (json_int_t)id, "error", "message",
				 error_text(&err), "exit", WARREN_EXIT_FAILED);
	return json_pack("{s:I, s:o}", "id", (json_int_t)id, "result",
			 strcmp(cmd, "break_glass") == 0 ? break_glass_json(&b->break_glass)
							 : state_json(b));
}

/* Answers are small: what does not fit the socket at once is not read by anybody. */
static int answer(int fd, json_t *object_take)
{
	struct buffer out;
	int rc;

	buffer_init(&out, MAX_LINE_BYTES);
	rc = object_take ? ipc_append(&out, object_take) : -ENOMEM;
	if (rc == 0 && send(fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)out.len)
		rc = -EPIPE;
	buffer_done(&out);
	json_decref(object_take);
	return rc;
}

static int serve_lines(struct broker *b, struct broker_root_client *c)
{
	for (;;) {
		struct error err = {0};
		json_t *request = NULL;
		int rc = ipc_next(&c->in, &request, &err);

		if (rc == -EAGAIN)
			return 0;
		if (rc < 0) {
			json_t *error =
				json_pack("{s:i, s:{s:s, s:i}}", "id", 0, "error", "message",
					  error_text(&err), "exit", WARREN_EXIT_FAILED);

			return answer(c->fd, error) < 0 ? -EPIPE : rc;
		}
		rc = answer(c->fd, serve(b, request));
		json_decref(request);
		if (rc < 0)
			return rc;
	}
}

static void on_client(struct broker *b, int fd, void *ctx)
{
	struct broker_root_client *c = ctx;
	char chunk[READ_BYTES];
	ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || buffer_append(&c->in, chunk, (size_t)n) < 0 || serve_lines(b, c) < 0)
		drop(b, c);
}

static void on_listener(struct broker *b, int listener, void *ctx)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct broker_root_client *c = NULL;
	struct unixsock_cred cred;

	(void)ctx;
	if (fd < 0)
		return;
	/* The mode of the socket says the same; without root the daemon's own user is its root. */
	if (unixsock_peer_cred(fd, &cred) == 0 && (cred.uid == 0 || cred.uid == geteuid()) &&
	    b->root_client_count < MAX_CLIENTS)
		c = calloc(1, sizeof(*c));
	if (!c || broker_loop_add(b->loop, fd, on_client, c) < 0) {
		free(c);
		close(fd);
		return;
	}
	c->fd = fd;
	buffer_init(&c->in, MAX_LINE_BYTES);
	c->next = b->root_clients;
	b->root_clients = c;
	b->root_client_count++;
}

int broker_root_listen(struct broker *b, struct error *err)
{
	size_t len = strlen(b->options->socket);
	int rc;

	if (len + sizeof(IPC_ROOT_SUFFIX) > sizeof(b->root_socket))
		return error_set(err, -ENAMETOOLONG, "the path of the socket is too long");
	memcpy(b->root_socket, b->options->socket, len);
	memcpy(b->root_socket + len, IPC_ROOT_SUFFIX, sizeof(IPC_ROOT_SUFFIX));
	rc = unixsock_listen(b->root_socket, 0600, &b->root_listener, err);
	if (rc == 0)
		rc = broker_loop_add(b->loop, b->root_listener, on_listener, NULL);
	return rc;
}

void broker_root_stop(struct broker *b)
{
	while (b->root_clients)
		drop(b, b->root_clients);
	if (b->root_listener >= 0) {
		broker_loop_del(b->loop, b->root_listener);
		file_close(&b->root_listener);
		unlink(b->root_socket);
	}
}
