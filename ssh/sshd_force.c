/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-sshd: from a command line and files to what is in force. Start, reload and `-t` come through
 * here, so that they agree. What a line names is looked at before anybody needs it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "platform/secret.h"
#include "ssh/sshd_internal.h"
#include "ssh/sshd_keys.h"

struct load {
	const struct sshd_arguments *arguments;
	struct sshd_force *force;
	struct sshd_findings *findings;
	unsigned flags;
	bool keyed;	      /* the host key is read */
	const char *key_path; /* of it */
};

/* ------------------------------------------------------------------ host key */

/* The first that can be used is the key, as with a sshd that knows one type. */
static void load_key(struct load *l)
{
	const struct sshd_words *keys = &l->force->options.host_keys;

	if (keys->count == 0) {
		l->keyed = hostkey_read(HOSTKEY_PATH, &l->force->key) == 0;
		l->key_path = HOSTKEY_PATH;
	}
	for (size_t i = 0; !l->keyed && i < keys->count; i++) {
		l->keyed = hostkey_read(keys->word[i], &l->force->key) == 0;
		l->key_path = keys->word[i];
	}
}

/* place NULL: of the command line. */
static void check_key(struct load *l, const struct sshd_place *place, const char *path)
{
	struct hostkey key;
	int r;

	if (l->keyed && strcmp(path, l->key_path) == 0)
		return;
	r = hostkey_read(path, &key);
	secret_wipe(&key, sizeof(key));
	if (r < 0)
		sshd_finding(l->findings, !l->keyed, place, "HostKey %s cannot be used: %s%s", path,
			     hostkey_problem(r), l->keyed ? "; another one is" : "");
	else
		sshd_finding(l->findings, false, place,
			     "HostKey %s has no effect: the server has one host key, %s", path,
			     l->key_path);
}

static void check_default_key(struct load *l)
{
	int r = -ENOENT;
	bool dry = (l->flags & SSHD_FORCE_DRY) != 0;

	if (l->force->options.host_keys.count > 0 || l->keyed)
		return;
	r = hostkey_read(HOSTKEY_PATH, &l->force->key);
	sshd_finding(l->findings, !dry, NULL,
		     "HostKey %s cannot be used (%s): an unencrypted Ed25519 key that nobody else "
		     "can read is needed%s%s",
		     HOSTKEY_PATH, hostkey_problem(r),
		     geteuid() != 0 ? " (-h FILE; `ssh-keygen -t ed25519 -N '' -f FILE` makes one)"
				    : "",
		     dry ? "; without one `warren sshd` does not start (in a mesh there is one)" : "");
}

/* ------------------------------------------------------------------ other lines */

static void check_authorities(struct load *l, const struct sshd_place *at)
{
	struct sshd_force *f = l->force;
	struct error err = {0};

	if (strcasecmp(at->words[0], "none") != 0 &&
	    sshd_keys_read(at->words[0], f->ca, SSH_WIRE_BREAK_GLASS_MAX, &f->ca_count, &err) < 0)
		sshd_finding(l->findings, true, at, "TrustedUserCAKeys: %s", error_text(&err));
}

static void check_revoked(struct load *l, const struct sshd_place *at)
{
	struct error err = {0};

	if (strcasecmp(at->words[0], "none") != 0 && sshd_keys_check(at->words[0], &err) < 0)
		sshd_finding(l->findings, true, at, "%s", error_text(&err));
}

static void check_listen(struct load *l, const struct sshd_place *at)
{
	struct endpoint out[SSHD_LISTEN_MAX];
	struct sshd_options *one = malloc(sizeof(*one));
	struct error err = {0};
	size_t count;

	if (one == NULL || (l->flags & SSHD_FORCE_LISTENS) == 0) {
		free(one);
		return;
	}
	*one = l->force->options;
	one->listen.count = 1;
	one->listen.word[0] = at->words[0];
	if (sshd_config_listen(one, out, &count, &err) < 0)
		sshd_finding(l->findings, true, at, "%s", error_text(&err));
	free(one);
}

/* The default is taken where it can be; what was asked for must be possible. */
static void check_audit(struct load *l, const struct sshd_place *at)
{
	struct sshd_options *o = &l->force->options;
	bool make = (l->flags & SSHD_FORCE_DRY) == 0;
	struct error err = {0};

	if (o->audit_log == NULL || (at == NULL) != (strcmp(o->audit_log, SSHD_AUDIT_FOLDER) == 0) ||
	    sshd_audit_check(o->audit_log, make, &err) == 0)
		return;
	if (at != NULL)
		sshd_finding(l->findings, true, at, "%s", error_text(&err));
	else if (geteuid() == 0)
		sshd_finding(l->findings, false, NULL,
			     "there is no audit log but the system's: %s", error_text(&err));
	if (at == NULL)
		o->audit_log = NULL;
}

static void check_line(void *ctx, const struct sshd_place *at)
{
	struct load *l = ctx;

	if (at->count == 0)
		return;
	if (strcmp(at->keyword, "HostKey") == 0 && l->arguments->host_key_count == 0)
		for (size_t i = 0; i < at->count; i++)
			check_key(l, at, at->words[i]);
	else if (strcmp(at->keyword, "TrustedUserCAKeys") == 0)
		check_authorities(l, at);
	else if (strcmp(at->keyword, "RevokedKeys") == 0)
		check_revoked(l, at);
	else if (strcmp(at->keyword, "ListenAddress") == 0)
		check_listen(l, at);
	else if (strcmp(at->keyword, "AuditLog") == 0)
		check_audit(l, at);
}

/* ------------------------------------------------------------------ all of it */

static int evaluate(const struct sshd_arguments *a, struct sshd_force *f, struct error *err)
{
	const struct sshd_query nobody = {0};
	int rc = sshd_arguments_load(a, &f->config, err);

	if (rc < 0)
		return rc;
	sshd_config_evaluate(f->config, &nobody, &f->options);
	sshd_arguments_override(a, &f->options);
	rc = sshd_config_text(f->config, &f->text);
	return rc < 0 ? error_set(err, rc, "the configuration is too long") : 0;
}

int sshd_force_load(const struct sshd_arguments *a, unsigned flags, struct sshd_force *ret_force,
		    struct sshd_findings *ret_findings, struct error *err)
{
	struct sshd_force *f = calloc(1, sizeof(*f));
	struct load l = {.arguments = a, .force = f, .findings = ret_findings, .flags = flags};
	int rc;

	if (f == NULL)
		return error_set(err, -ENOMEM, "no memory");
	buffer_init(&f->text, SSH_WIRE_SSHD_CONFIG_MAX);
	f->core = a->core;
	rc = evaluate(a, f, err);
	if (rc == 0) {
		load_key(&l);
		for (size_t i = 0; i < a->host_key_count; i++)
			check_key(&l, NULL, a->host_keys[i]);
		sshd_config_each(f->config, check_line, &l);
		sshd_check(f->config, false, ret_findings);
		check_default_key(&l);
		check_audit(&l, NULL);
		rc = sshd_findings_error(ret_findings, err);
	}
	if (rc == 0)
		*ret_force = *f;
	else
		sshd_force_done(f);
	secret_wipe(&f->key, sizeof(f->key));
	free(f);
	return rc;
}

void sshd_force_done(struct sshd_force *f)
{
	sshd_config_free(f->config);
	buffer_done(&f->text);
	secret_wipe(&f->key, sizeof(f->key));
	f->config = NULL;
}

int sshd_test(const struct sshd_arguments *a)
{
	struct sshd_findings findings = {0};
	static struct sshd_force force;
	struct error err = {0};
	int rc = sshd_force_load(a, SSHD_FORCE_DRY | SSHD_FORCE_LISTENS, &force, &findings, &err);

	for (size_t i = 0; i < findings.count; i++)
		fprintf(stderr, "warren-sshd: %s%s\n", findings.list[i].error ? "" : "warning: ",
			findings.list[i].text);
	if (rc < 0 && findings.errors == 0)
		fprintf(stderr, "warren-sshd: %s\n", error_text(&err));
	if (rc == 0)
		sshd_force_done(&force);
	return rc < 0 ? WARREN_EXIT_FAILED : WARREN_EXIT_OK;
}
