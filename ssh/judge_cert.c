/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates: of this machine's own CA (control made them), and of CAs that root pinned
 * (break-glass, or TrustedUserCAKeys of a server without a mesh).
 */
#include "ssh/judge_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "IDENTITY caller=p_… target=p_… request=…": the identity, when the target is this machine. */
static int identity_of_key_id(const char *key_id, const char *self, char *out, size_t cap)
{
	const char *space = strchr(key_id, ' ');
	const char *target = strstr(key_id, " target=");
	size_t len = strlen(self);

	if (space == NULL || target == NULL || space == key_id || (size_t)(space - key_id) >= cap)
		return -EINVAL;
	target += strlen(" target=");
	if (strncmp(target, self, len) != 0 || (target[len] != ' ' && target[len] != '\0'))
		return -EACCES;
	memcpy(out, key_id, (size_t)(space - key_id));
	out[space - key_id] = '\0';
	return 0;
}

/* The peer that it was made for, from the same key id. */
static int caller_of_key_id(const char *key_id, char *out, size_t cap)
{
	const char *caller = strstr(strchr(key_id, ' '), " caller=");
	size_t len;

	if (caller == NULL)
		return -EINVAL;
	caller += strlen(" caller=");
	len = strcspn(caller, " ");
	if (len == 0 || len >= cap)
		return -EINVAL;
	memcpy(out, caller, len);
	out[len] = '\0';
	return 0;
}

/* When the person logged in, from the same key id; 0: it does not say. */
static int64_t auth_time_of_key_id(const char *key_id)
{
	const char *text = strstr(strchr(key_id, ' '), " auth=");
	int64_t time_s = 0;

	if (text == NULL)
		return 0;
	text += strlen(" auth=");
	for (int digits = 0; *text >= '0' && *text <= '9' && digits < 12; digits++)
		time_s = time_s * 10 + (*text++ - '0');
	return *text == ' ' || *text == '\0' ? time_s : 0;
}

static uint32_t caps_of_cert(const struct sshcert *cert)
{
	uint32_t mask = POLICY_SSH_SHELL | POLICY_SSH_EXEC | POLICY_SSH_SFTP;

	if (cert->extensions & SSHCERT_PERMIT_PORT_FORWARDING)
		mask |= POLICY_SSH_FORWARD | POLICY_SSH_REMOTE_FORWARD;
	if (cert->extensions & SSHCERT_PERMIT_AGENT_FORWARDING)
		mask |= POLICY_SSH_AGENT;
	return mask;
}

static void take_subject_key(const struct sshcert *cert, struct verifier_decision *d)
{
	if (cert->subject_len > sizeof(d->subject))
		return;
	memcpy(d->subject, cert->subject, cert->subject_len);
	d->subject_len = cert->subject_len;
}

/* source-address has the caller's own addresses, and machines of "via" as far as a stock sshd may know
 * them. Here the policy is asked about every machine but the caller's (judge_login), so it decides. */
static bool comes_through(const struct judge *j, const struct sshcert *cert,
			  const struct ip_addr *client)
{
	const struct known_peer *peer = judge_peer_by_addr(j->known, client);
	char caller[32];

	return peer != NULL && strchr(cert->key_id, ' ') != NULL &&
	       caller_of_key_id(cert->key_id, caller, sizeof(caller)) == 0 &&
	       strcmp(caller, peer->id) != 0 && cert->source_count > 0;
}

static int check_cert(struct judge *j, const struct sshcert *cert, const char *login,
		      const struct ip_addr *client, int64_t now_s, struct verifier_decision *d)
{
	bool through = comes_through(j, cert, client);
	const struct sshcert_expect expect = {
		.cas = (const uint8_t(*)[32])j->known->ca,
		.ca_count = j->known->ca_count,
		.login = login,
		.source = through ? cert->sources[0].addr : *client,
		.need_source = true,
		.now_s = now_s,
		.revoked = j->known->revoked,
		.revoked_count = j->known->revoked_count,
	};
	struct error err = {0};

	if (sshcert_check(cert, &expect, &err) < 0) {
		judge_refuse(d, error_text(&err));
		return -EACCES;
	}
	return 0;
}

static int take_cert(struct judge *j, const struct sshcert *cert, struct accepted *a,
		     struct verifier_decision *d)
{
	if (identity_of_key_id(cert->key_id, j->trust.peer_id, a->identity, sizeof(a->identity)) <
	    0) {
		judge_refuse(d, "the certificate was made for another machine");
		return -EACCES;
	}
	if (caller_of_key_id(cert->key_id, a->caller, sizeof(a->caller)) < 0) {
		judge_refuse(d,
			     "the certificate does not say for which machine's user it was made");
		return -EACCES;
	}
	a->serial = cert->serial;
	memcpy(a->ca, cert->ca, sizeof(a->ca));
	/* Not the certificate's own age: a rule with max_login_age would take an old login for a
	 * fresh one. */
	a->auth_time_s = auth_time_of_key_id(cert->key_id);
	a->issued_s = cert->valid_after_s + SSHCERT_BACKDATED_S;
	a->cap_mask = caps_of_cert(cert);
	a->pty = (cert->extensions & SSHCERT_PERMIT_PTY) != 0;
	a->user_rc = (cert->extensions & SSHCERT_PERMIT_USER_RC) != 0;
	/* What control writes into certificates of who gets no shell, for a stock sshd. */
	if (strcmp(cert->force_command, "internal-sftp") == 0)
		a->files = true, a->cap_mask &= ~(uint32_t)(POLICY_SSH_SHELL | POLICY_SSH_EXEC);
	else
		snprintf(a->force_command, sizeof(a->force_command), "%s", cert->force_command);
	judge_add_groups(j->known, a);
	return 0;
}

/* ------------------------------------------------------------------ break-glass */

static bool of_break_glass(const struct judge *j, const struct sshcert *cert)
{
	for (size_t i = 0; i < j->trust.break_glass_count; i++)
		if (memcmp(j->trust.break_glass[i], cert->ca, sizeof(cert->ca)) == 0)
			return true;
	return false;
}

/* "break-glass:KEY-ID", printable: people and logs read it. */
static void break_glass_identity(const struct judge *j, const struct sshcert *cert,
				 struct accepted *a)
{
	snprintf(a->identity, sizeof(a->identity), "%s%.200s",
		 j->trust.standalone ? "" : "break-glass:", cert->key_id);
	for (char *c = a->identity; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~')
			*c = '_';
}

/* What such a login may do is in the certificate, and no object of the control server is asked. */
void judge_allow_break_glass(const struct judge *j, const struct accepted *a,
			     struct verifier_decision *d)
{
	const struct known_peer *caller =
		j->known != NULL ? judge_peer_by_addr(j->known, &a->client) : NULL;

	d->allowed = true;
	d->break_glass = !j->trust.standalone;
	d->caps = a->cap_mask;
	d->pty = a->pty;
	d->user_rc = a->user_rc;
	snprintf(d->identity, sizeof(d->identity), "%s", a->identity);
	snprintf(d->force_command, sizeof(d->force_command), "%s", a->force_command);
	if (caller != NULL) {
		snprintf(d->caller_peer, sizeof(d->caller_peer), "%s", caller->id);
		snprintf(d->caller_name, sizeof(d->caller_name), "%s", caller->name);
	}
}

static void judge_break_glass(struct judge *j, const struct sshcert *cert, struct accepted *a,
			      const char *login, int64_t now_s, struct verifier_decision *d)
{
	const struct sshcert_expect expect = {
		.cas = (const uint8_t(*)[32])j->trust.break_glass,
		.ca_count = j->trust.break_glass_count,
		.login = login,
		.source = a->client,
		.now_s = now_s,
		.revoked = j->trust.revoked,
		.revoked_count = j->trust.revoked_count,
	};
	struct error err = {0};

	if (sshcert_check(cert, &expect, &err) < 0) {
		judge_refuse(d, error_text(&err));
		return;
	}
	if (!j->trust.standalone &&
	    cert->valid_before_s - cert->valid_after_s > BREAK_GLASS_MAX_S) {
		judge_refuse(d,
			     "break-glass certificates are taken for a day at most: sign one with "
			     "-V +1h");
		return;
	}
	a->proof = PROOF_BREAK_GLASS;
	a->serial = cert->serial;
	a->cap_mask = caps_of_cert(cert);
	a->pty = (cert->extensions & SSHCERT_PERMIT_PTY) != 0;
	a->user_rc = (cert->extensions & SSHCERT_PERMIT_USER_RC) != 0;
	snprintf(a->force_command, sizeof(a->force_command), "%s", cert->force_command);
	break_glass_identity(j, cert, a);
	judge_allow_break_glass(j, a, d);
}

void judge_cert(struct judge *j, const uint8_t *blob, size_t len, const char *login,
		const struct ip_addr *client, int64_t now_s, bool remember,
		struct verifier_decision *ret_decision)
{
	struct accepted *a = judge_candidate(j, PROOF_CERT, login, client);
	struct verifier_decision *d = ret_decision;
	struct sshcert *cert = calloc(1, sizeof(*cert));
	struct error err = {0};

	memset(d, 0, sizeof(*d));
	if (cert == NULL) {
		judge_refuse(d, "out of memory");
		return;
	}
	if (sshcert_parse(blob, len, cert, &err) < 0) {
		judge_refuse(d, error_text(&err));
	} else {
		take_subject_key(cert, d);
		if (of_break_glass(j, cert)) {
			judge_break_glass(j, cert, a, login, now_s, d);
			judge_accept_if(j, remember, d);
		} else if (j->trust.standalone) {
			judge_refuse(
				d,
				"the certificate is not of an authority that this server trusts");
		} else if (judge_in_force(j, now_s, d) &&
			   check_cert(j, cert, login, client, now_s, d) == 0 &&
			   take_cert(j, cert, a, d) == 0) {
			judge_login(j, a, now_s, d);
			judge_accept_if(j, remember, d);
		}
	}
	free(cert);
}
