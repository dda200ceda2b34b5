/* SPDX-License-Identifier: Apache-2.0
 *
 * Main's side of daemon/PROTOCOL.md sections 1 and 2: requests to the broker, and what it tells us.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/main_core.h"
#include "platform/json.h"
#include "platform/log.h"

#define MAX_TEXT 16384

struct broker_request {
	struct main_core *m;
	main_broker_cb *done;
	void *ctx;
};

static bool on_reply(void *ctx, uint8_t type, struct reader *r)
{
	struct broker_request *request = ctx;
	char sentence[1024] = "the broker is gone";
	bool ok = false;

	if (r != NULL) {
		uint8_t result = reader_u8(r);

		reader_cstring(r, sentence, sizeof(sentence));
		if (type != WIRE_REPLY)
			r->failed = true;
		ok = !r->failed && result == 0;
	}
	if (request->done != NULL)
		request->done(request->m, request->ctx, ok, sentence, r);
	else if (!ok)
		log_warn("the broker refused a request", "sentence=\"%s\"", sentence);
	free(request);
	return false;
}

void main_broker_request(struct main_core *m, uint8_t type, const struct writer *fields, int fd,
			 main_broker_cb *done, void *ctx)
{
	struct broker_request *request = malloc(sizeof(*request));
	struct writer w;

	if (request == NULL) {
		if (done != NULL)
			done(m, ctx, false, "no memory", NULL);
		return;
	}
	*request = (struct broker_request){m, done, ctx};
	w = main_link_begin(m->broker, type, on_reply, request);
	if (fields != NULL) {
		writer_bytes(&w, fields->data, fields->len);
		if (fields->failed)
			w.failed = true;
	}
	main_link_end(m->broker, &w, fd);
}

bool main_switch(const struct main_core *m, const char *name)
{
	return json_is_true(json_object_get(m->switches, name));
}

static int on_switches(struct main_core *m, struct reader *r)
{
	size_t len;
	const uint8_t *text = reader_string(r, MAX_TEXT, &len);
	json_t *switches;
	bool changed;

	reader_cstring(r, m->host_key, sizeof(m->host_key));
	reader_cstring(r, m->broker_warnings, sizeof(m->broker_warnings));
	if (!reader_done(r))
		return -EBADMSG;
	switches = json_load_strict((const char *)text, len, MAX_TEXT, NULL);
	if (!json_is_object(switches)) {
		json_decref(switches);
		return -EBADMSG;
	}
	changed = !json_equal(m->switches, switches);
	json_decref(m->switches);
	m->switches = switches;
	main_control_put_self(m);
	/* The broker says them after each CONFIGURE too. */
	if (changed)
		main_apply(m);
	return 0;
}

static int on_control(struct main_core *m, struct reader *r)
{
	char url[sizeof(m->control_url)];
	uint8_t has, fingerprint[16];

	reader_cstring(r, url, sizeof(url));
	has = reader_u8(r);
	reader_bytes(r, fingerprint, sizeof(fingerprint));
	if (!reader_done(r) || has > 1)
		return -EBADMSG;
	memcpy(m->control_url, url, sizeof(url));
	m->control_has_fingerprint = has == 1;
	memcpy(m->control_fingerprint, fingerprint, sizeof(fingerprint));
	log_info("root chose the control server", "url=%s", url);
	return 0;
}

static int on_monitor(struct main_core *m, struct reader *r, int *fds, size_t nfds)
{
	uint32_t id = reader_u32(r);

	if (!reader_done(r) || nfds != 1)
		return -EBADMSG;
	main_monitor_new(m, id, fds[0]);
	fds[0] = -1;
	return 0;
}

static int on_session(struct main_core *m, struct reader *r)
{
	uint32_t id = reader_u32(r);
	size_t len;
	const uint8_t *text = reader_string(r, MAX_TEXT, &len);
	char key[16];
	json_t *state;

	if (!reader_done(r))
		return -EBADMSG;
	state = json_load_strict((const char *)text, len, MAX_TEXT, NULL);
	if (!json_is_object(state)) {
		json_decref(state);
		return -EBADMSG;
	}
	(void)snprintf(key, sizeof(key), "%u", id);
	if (json_is_true(json_object_get(state, "ended"))) {
		(void)json_object_del(m->sessions, key);
	} else {
		(void)json_object_set_new(state, "id", json_integer(id));
		(void)json_object_set(m->sessions, key, state);
	}
	json_decref(state);
	return 0;
}

static int on_link(struct main_core *m, struct reader *r)
{
	uint8_t up = reader_u8(r);

	if (!reader_done(r) || up > 1)
		return -EBADMSG;
	log_warn("our interface was changed from outside", "up=%u", up);
	if (up == 0) {
		m->interface[0] = '\0'; /* CONFIGURE makes it anew */
		main_apply(m);
	}
	return 0;
}

static int on_message(void *ctx, uint8_t type, uint32_t id, struct reader *r, int *fds, size_t nfds)
{
	struct main_core *m = ctx;

	(void)id;
	if (nfds > 0 && type != WIRE_MONITOR)
		return -EBADMSG;
	switch (type) {
	case WIRE_SWITCHES:
		return on_switches(m, r);
	case WIRE_CONTROL:
		return on_control(m, r);
	case WIRE_MONITOR:
		return on_monitor(m, r, fds, nfds);
	case WIRE_SESSION:
		return on_session(m, r);
	case WIRE_LINK:
		return on_link(m, r);
	case WIRE_REPLY:
		return 0; /* of a request that was given up */
	default:
		return -EBADMSG;
	}
}

static void on_ended(void *ctx)
{
	struct main_core *m = ctx;

	log_info("the broker is gone: ending", NULL);
	main_stop(m, 0);
}

int main_broker_open(struct main_core *m, struct error *err)
{
	struct main_link_ops ops = {m, on_message, on_ended};
	int r = main_link_new(m->loop, WIRE_FD_BROKER, "broker", &ops, &m->broker);

	return r < 0 ? error_set(err, r, "the socket to the broker (descriptor 3) is missing: %s",
				 strerror(-r))
		     : 0;
}
