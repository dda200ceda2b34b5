/* SPDX-License-Identifier: Apache-2.0
 *
 * Which names without a dot ssh has to ask about: of the map in force, those for which detect says
 * yes (daemon/openssh.c). The broker is told when they change.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/main_core.h"
#include "daemon/ssh_names.h"
#include "platform/log.h"

struct main_names {
	uint8_t sent[DAEMON_MAX_MESSAGE];
	size_t len;				/* 0: the broker has none */
	uint8_t fields[DAEMON_MAX_MESSAGE - 8]; /* of the next message, without its head */
};

static void on_taken(struct main_core *m, void *ctx, bool ok, const char *sentence,
		     struct reader *r)
{
	(void)ctx;
	(void)r;
	if (ok)
		return;
	log_warn("the broker refused the names for ssh", "sentence=\"%s\"", sentence);
	main_names_forget(m);
}

static size_t collect(const struct main_core *m, const char **out)
{
	const struct peers *p = m->peers;
	size_t n = 0;

	for (size_t i = 0; m->removed[0] == '\0' && i < p->count; i++)
		if (p->list[i].ssh_enabled && p->list[i].ssh_advertised &&
		    strcmp(p->list[i].name, p->self.name) != 0)
			out[n++] = p->list[i].name;
	return n;
}

void main_names_tell(struct main_core *m)
{
	const char **names;
	struct writer w;

	if (m->names == NULL)
		m->names = calloc(1, sizeof(*m->names));
	names = calloc(m->peers->count + 1, sizeof(*names));
	if (names == NULL || m->names == NULL) {
		free(names);
		log_error("no memory for the names for ssh", NULL);
		return;
	}
	w = writer_init(m->names->fields, sizeof(m->names->fields));
	ssh_names_put(&w, names, collect(m, names));
	free(names);
	if (w.failed || (w.len == m->names->len && memcmp(w.data, m->names->sent, w.len) == 0))
		return;
	memcpy(m->names->sent, w.data, w.len);
	m->names->len = w.len;
	main_broker_request(m, WIRE_SSH_NAMES, &w, -1, on_taken, NULL);
}

void main_names_forget(struct main_core *m)
{
	if (m->names != NULL)
		m->names->len = 0;
}
