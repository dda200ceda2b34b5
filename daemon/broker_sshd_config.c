/* SPDX-License-Identifier: Apache-2.0
 *
 * sshd_config(5) of the embedded SSH server: read again when a file changed, at the next connection,
 * at SIGHUP or within half a minute. A file that is wrong is told in the log and by `warren status`,
 * and what was in force stays; at the start nothing is, so nobody is let in.
 */
#include "daemon/broker_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/log.h"
#include "ssh/config/sshd_check.h"

void broker_sshd_config_init(struct broker *b)
{
	buffer_init(&b->ssh.sshd.text, SSHD_CONFIG_MAX * 3);
}

static int put_in_force(struct broker_sshd *s, const struct sshd_config *c, struct error *err)
{
	const struct sshd_query nobody = {0};
	struct sshd_options *o = malloc(sizeof(*o));
	char *watched = strdup(sshd_config_watched(c));
	struct buffer text;
	int rc;

	if (!o || !watched) {
		free(o);
		free(watched);
		return error_set(err, -ENOMEM, "no memory");
	}
	buffer_init(&text, SSHD_CONFIG_MAX * 3);
	rc = sshd_config_text(c, &text);
	if (rc < 0) {
		buffer_done(&text);
		free(o);
		free(watched);
		return error_set(err, rc, "the configuration is too long");
	}
	free(s->watched);
	s->watched = watched;
	buffer_done(&s->text);
	s->text = text;
	sshd_config_evaluate(c, &nobody, o);
	s->startups = o->startups;
	s->tcp_keep_alive = o->tcp_keep_alive;
	s->loaded = true;
	free(o);
	return 0;
}

static uint64_t stamp_of(const struct broker_sshd *s, const char *path)
{
	return sshd_config_stamp(path, s->watched ? s->watched : "");
}

void broker_sshd_config_refresh(struct broker *b)
{
	struct broker_sshd *s = &b->ssh.sshd;
	const char *path = b->options->sshd_config;
	struct sshd_config *c = NULL;
	struct sshd_findings findings = {0};
	struct error err = {0};
	char note[sizeof(s->note)] = "";
	uint64_t stamp = stamp_of(s, path);
	bool stable;
	int rc;

	/* What is wrong may stand in a file that is not known before all is right. */
	if (s->loaded && s->note[0] == '\0' && s->stamp == stamp)
		return;
	rc = sshd_config_load(path, &c, &err);
	if (rc == 0) {
		sshd_check(c, true, &findings);
		rc = sshd_findings_error(&findings, &err);
	}
	stable = stamp == stamp_of(s, path); /* not written while it was read */
	if (rc == 0)
		rc = put_in_force(s, c, &err);
	sshd_config_free(c);
	if (rc < 0)
		snprintf(note, sizeof(note), "%.400s (%s)", error_text(&err),
			 s->loaded ? "what was in force before stays" : "SSH is not served");
	else
		s->stamp = stable ? stamp_of(s, path) : 0;
	if (rc < 0 && strcmp(note, s->note) != 0)
		log_error("the SSH server's configuration is wrong", "error=\"%s\"",
			  error_text(&err));
	else if (rc == 0)
		log_info("the SSH server's configuration is in force", "path=%s", path);
	if (rc == 0)
		sshd_findings_log(&findings);
	if (strcmp(note, s->note) != 0) {
		memcpy(s->note, note, sizeof(note));
		broker_main_tell_switches(b);
	}
}
