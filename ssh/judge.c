/* SPDX-License-Identifier: Apache-2.0
 *
 * The verifier's knowledge (control/PROTOCOL.md section 6) and its judgement. A login is allowed
 * only when the object is in force, the proof holds for this machine, this caller and this login,
 * and policy says yes. Everything else is a refusal with a reason.
 */
#include "ssh/judge.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identity/signed.h"
#include "identity/sshcert.h"
#include "platform/buffer.h"
#include "platform/encode.h"
#include "platform/json.h"

#define MAX_CAS	    4
#define MAX_PEERS   20000
#define MAX_GROUPS  256
#define MAX_REVOKED 100000
#define MAX_BLOCKED 10000
#define MAX_ISSUERS 16
#define MAX_ISSUERS_TEXT 40000
#define SKEW_S	    60
#define BREAK_GLASS_MAX_S 86700 /* a day, and what ssh-keygen backdates */

struct known_peer {
	char id[32], name[64];
	struct ip_addr v4, v6;
};

/* One object, whole; replaced as one. */
struct known {
	uint64_t seq;
	int64_t valid_until_s;
	bool enabled;
	char domain[128]; /* of the mesh's names; "": an older server's object */
	size_t ca_count, peer_count, revoked_count;
	uint8_t ca[MAX_CAS][32];
	struct known_peer *peers;
	uint64_t *revoked;
	json_t *identities;
	json_t *blocked; /* array of {identity, caller, before}; NULL: none */
	json_t *peer_list; /* as the object has it */
	char *issuers;	   /* JSON text of "tokens" */
	struct policy *policy;
	struct policy_world *world;
};

enum proof { PROOF_NONE, PROOF_CERT, PROOF_GRANT, PROOF_MACHINE, PROOF_KEY, PROOF_BREAK_GLASS,
	     PROOF_TOKEN };

/* The login that was accepted, for judge_again. */
struct accepted {
	enum proof proof;
	char identity[256], login[64];
	char caller[32]; /* peer that the certificate was made for; "": whoever has the address */
	struct ip_addr client;
	int64_t auth_time_s;
	int64_t issued_s; /* of the proof, by control's clock */
	uint64_t serial;
	uint8_t ca[32];
	uint32_t cap_mask;
	bool pty;
	char force_command[1024];
	size_t group_count;
	char groups[MAX_GROUPS][128];
};

struct judge {
	struct judge_trust trust;
	struct known *known;
	struct accepted accepted, candidate;
};

static void known_free(struct known *k)
{
	if (k == NULL)
		return;
	policy_free(k->policy);
	policy_world_free(k->world);
	json_decref(k->identities);
	json_decref(k->blocked);
	json_decref(k->peer_list);
	free(k->issuers);
	free(k->peers);
	free(k->revoked);
	free(k);
}

static int compare_serials(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int judge_new(const struct judge_trust *trust, struct judge **ret_judge)
{
	struct judge *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return -ENOMEM;
	j->trust = *trust;
	if (trust->break_glass_count > SSH_WIRE_BREAK_GLASS_MAX ||
	    trust->revoked_count > SSH_WIRE_REVOKED_MAX) {
		free(j);
		return -EINVAL;
	}
	qsort(j->trust.revoked, j->trust.revoked_count, sizeof(j->trust.revoked[0]),
	      compare_serials);
	*ret_judge = j;
	return 0;
}

void judge_free(struct judge *j)
{
	if (j == NULL)
		return;
	known_free(j->known);
	free(j);
}

/* ------------------------------------------------------------------ the object */

static int load_cas(struct known *k, const json_t *object, struct error *err)
{
	json_t *list;
	int r = json_get_array(object, "ca", MAX_CAS, &list, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (text == NULL || encode_base64url_exact(k->ca[i], 32, text) < 0)
			return error_set(err, -EINVAL, "ca %zu is not a key", i);
		k->ca_count++;
	}
	return 0;
}

static int load_revoked(struct known *k, const json_t *object, struct error *err)
{
	json_t *list;
	int r = json_get_array(object, "revoked", MAX_REVOKED, &list, err);

	if (r < 0)
		return r;
	k->revoked = calloc(json_array_size(list) + 1, sizeof(*k->revoked));
	if (k->revoked == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *serial = json_array_get(list, i);

		if (!json_is_integer(serial))
			return error_set(err, -EINVAL, "revoked serial %zu is not a number", i);
		k->revoked[k->revoked_count++] = (uint64_t)json_integer_value(serial);
	}
	/* sshcert_check searches by halves. */
	qsort(k->revoked, k->revoked_count, sizeof(*k->revoked), compare_serials);
	return 0;
}

/* What was issued up to a moment and is void; objects of before this was told have no such list. */
static int load_blocked(struct known *k, const json_t *object, struct error *err)
{
	json_t *list, *row;
	char identity[256], caller[32];
	int64_t before_s;
	size_t i;
	int r = json_get_array(object, "blocked", MAX_BLOCKED, &list, err);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	json_array_foreach(list, i, row)
	{
		r = json_get_string(row, "identity", identity, sizeof(identity), err);
		if (r == 0)
			r = json_get_string(row, "caller", caller, sizeof(caller), err);
		if (r == 0)
			r = json_get_int(row, "before", 0, INT64_MAX, &before_s, err);
		if (r < 0)
			return r;
	}
	k->blocked = json_incref(list);
	return 0;
}

static int load_identities_of_peer(const json_t *peer, const char **names, size_t max,
				   size_t *ret_count, struct error *err)
{
	json_t *list;
	int r = json_get_array(peer, "identities", max, &list, err);

	*ret_count = 0;
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		names[i] = json_string_value(json_array_get(list, i));
		if (names[i] == NULL)
			return error_set(err, -EINVAL, "an identity of a peer is not a string");
		(*ret_count)++;
	}
	return r;
}

static int load_peer(struct known *k, const json_t *peer, const char *self, bool enabled,
		     struct error *err)
{
	struct known_peer *p = &k->peers[k->peer_count];
	const char *names[MAX_GROUPS];
	struct policy_peer wp = {0};
	char text[IP_ADDR_STRLEN];
	int r;

	r = json_get_string(peer, "id", p->id, sizeof(p->id), err);
	if (r == 0)
		r = json_get_string(peer, "name", p->name, sizeof(p->name), err);
	if (r == 0)
		r = json_get_string(peer, "overlay4", text, sizeof(text), err);
	if (r == 0)
		r = ip_addr_parse(text, &p->v4);
	if (r == 0)
		r = json_get_string(peer, "overlay6", text, sizeof(text), err);
	if (r == 0)
		r = ip_addr_parse(text, &p->v6);
	if (r == 0)
		r = load_identities_of_peer(peer, names, MAX_GROUPS, &wp.identity_count, err);
	if (r < 0)
		return r;
	wp.id = p->id;
	wp.name = p->name;
	wp.v4 = p->v4;
	wp.v6 = p->v6;
	wp.identities = names;
	wp.setup_key = json_string_value(json_object_get(peer, "setup_key"));
	wp.ssh_enabled = wp.ssh_advertised = enabled && strcmp(p->id, self) == 0;
	k->peer_count++;
	return policy_world_add_peer(k->world, &wp);
}

static int load_world(struct known *k, const json_t *object, const char *self, struct error *err)
{
	const char *identity, *groups[MAX_GROUPS];
	json_t *peers, *list;
	int r;

	r = policy_world_new(&k->world);
	if (r == 0)
		r = json_get_array(object, "peers", MAX_PEERS, &peers, err);
	if (r < 0)
		return r;
	k->peers = calloc(json_array_size(peers) + 1, sizeof(*k->peers));
	if (k->peers == NULL)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < json_array_size(peers); i++)
		r = load_peer(k, json_array_get(peers, i), self, k->enabled, err);
	if (r == 0)
		r = json_get_object(object, "identities", &k->identities, err);
	if (r < 0) {
		k->identities = NULL;
		return r;
	}
	k->peer_list = json_incref(peers);
	json_incref(k->identities);
	json_object_foreach(k->identities, identity, list)
	{
		size_t n = 0;

		if (!json_is_array(list) || json_array_size(list) > MAX_GROUPS)
			return error_set(err, -EINVAL, "groups of %s are not a list", identity);
		for (; n < json_array_size(list); n++) {
			groups[n] = json_string_value(json_array_get(list, n));
			if (groups[n] == NULL)
				return error_set(err, -EINVAL, "a group of %s is not a string",
						 identity);
		}
		r = policy_world_add_identity(k->world, identity, groups, n);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Optional: control says it where a rule takes tokens. */
static int load_issuers(struct known *k, const json_t *object, struct error *err)
{
	json_t *list = json_object_get(object, "tokens");

	if (list == NULL)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > MAX_ISSUERS)
		return error_set(err, -EINVAL, "\"tokens\" is not a list of issuers");
	k->issuers = json_dumps(list, JSON_COMPACT);
	if (k->issuers == NULL)
		return -ENOMEM;
	return strlen(k->issuers) <= MAX_ISSUERS_TEXT
		       ? 0
		       : error_set(err, -EMSGSIZE, "the keys of the issuers are too many");
}

static int load(struct judge *j, struct known *k, const json_t *object, struct error *err)
{
	char network[32], peer[32];
	const char *text;
	int64_t seq;
	int r;

	r = json_get_string(object, "network", network, sizeof(network), err);
	if (r == 0)
		r = json_get_string(object, "peer", peer, sizeof(peer), err);
	if (r == 0)
		r = json_get_int(object, "seq", 0, INT64_MAX, &seq, err);
	if (r == 0)
		r = json_get_int(object, "valid_until", 1, INT64_MAX, &k->valid_until_s, err);
	if (r == 0)
		r = json_get_bool(object, "enabled", &k->enabled, err);
	if (r < 0)
		return r;
	r = json_get_string(object, "domain", k->domain, sizeof(k->domain), err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (strcmp(network, j->trust.network) != 0 || strcmp(peer, j->trust.peer_id) != 0)
		return error_set(err, -EACCES, "the object was made for another machine");
	k->seq = (uint64_t)seq;
	if (k->seq < j->trust.min_seq)
		return error_set(err, -EACCES, "the object is older than one seen before");
	r = load_cas(k, object, err);
	if (r == 0)
		r = load_revoked(k, object, err);
	if (r == 0)
		r = load_blocked(k, object, err);
	if (r == 0)
		r = load_world(k, object, j->trust.peer_id, err);
	if (r == 0)
		r = load_issuers(k, object, err);
	if (r == 0)
		r = json_get_text(object, "policy", POLICY_MAX_TEXT, &text, err);
	if (r == 0)
		r = policy_parse("policy", text, strlen(text), &k->policy, err);
	return r;
}

int judge_object(struct judge *j, const char *text, size_t len, int64_t now_s, uint64_t *ret_seq,
		 bool *ret_enabled, struct error *err)
{
	struct known *k = calloc(1, sizeof(*k));
	json_t *object = NULL;
	int r = -ENOMEM;

	if (k == NULL)
		goto out;
	object = signed_open(text, len, "ssh", j->trust.signing_key, now_s, SKEW_S, err);
	if (object == NULL) {
		r = err != NULL && err->code < 0 ? err->code : -EBADMSG;
		goto out;
	}
	r = load(j, k, object, err);
	if (r < 0)
		goto out;
	*ret_seq = k->seq;
	*ret_enabled = k->enabled;
	j->trust.min_seq = k->seq;
	known_free(j->known);
	j->known = k;
	k = NULL;
out:
	known_free(k);
	json_decref(object);
	return r;
}

const char *judge_host_name(const struct judge *j)
{
	for (size_t i = 0; j->known != NULL && i < j->known->peer_count; i++)
		if (strcmp(j->known->peers[i].id, j->trust.peer_id) == 0)
			return j->known->peers[i].name;
	return "";
}

int judge_resolve(const struct judge *j, const char *host, struct ip_addr *ret_addr)
{
	const struct known *k = j->known;
	size_t len = strcspn(host, ".");

	if (k == NULL || (host[len] == '.' && (k->domain[0] == '\0' ||
					       strcasecmp(host + len + 1, k->domain) != 0)))
		return -ENOENT;
	for (size_t i = 0; i < k->peer_count; i++)
		if (strncasecmp(k->peers[i].name, host, len) == 0 &&
		    k->peers[i].name[len] == '\0') {
			*ret_addr = k->peers[i].v4;
			return 0;
		}
	return -ENOENT;
}

/* ------------------------------------------------------------------ judgement */

static void refuse(struct verifier_decision *d, const char *sentence)
{
	d->allowed = false;
	snprintf(d->message, sizeof(d->message), "%s", sentence);
}

static const struct known_peer *peer_by_addr(const struct known *k, const struct ip_addr *addr)
{
	for (size_t i = 0; i < k->peer_count; i++)
		if (ip_addr_equal(&k->peers[i].v4, addr) || ip_addr_equal(&k->peers[i].v6, addr))
			return &k->peers[i];
	return NULL;
}

static bool in_force(const struct judge *j, int64_t now_s, struct verifier_decision *d)
{
	if (j->known == NULL)
		refuse(d, "this machine has no policy from its control server yet");
	else if (now_s > j->known->valid_until_s + SKEW_S)
		refuse(d, "this machine's policy is out of date: it has not heard from its control "
			  "server "
			  "for too long");
	else if (!j->known->enabled)
		refuse(d, "SSH through the mesh is switched off for this machine on the control "
			  "server");
	else
		return true;
	return false;
}

/* Groups that control vouches for: of the identity in the object. */
static void add_known_groups(const struct known *k, struct accepted *a)
{
	const json_t *list = json_object_get(k->identities, a->identity);

	/* A grant's own groups stand until the object has newer ones. */
	if (list == NULL && (a->proof == PROOF_GRANT || a->proof == PROOF_TOKEN))
		return;
	a->group_count = 0;
	for (size_t i = 0; i < json_array_size(list) && a->group_count < MAX_GROUPS; i++)
		snprintf(a->groups[a->group_count++], sizeof(a->groups[0]), "%s",
			 json_string_value(json_array_get(list, i)));
}

/* Nobody in particular came, but this machine. */
static bool of_machine(const struct accepted *a)
{
	return a->proof == PROOF_MACHINE || a->proof == PROOF_KEY;
}

/* Was it ended by a logout, a block, a disabled account? */
static bool cut_off(const struct known *k, const struct accepted *a, const char *caller)
{
	const json_t *row;
	size_t i;

	json_array_foreach(k->blocked, i, row)
	{
		const char *identity = json_string_value(json_object_get(row, "identity"));
		const char *from = json_string_value(json_object_get(row, "caller"));

		if ((identity[0] == '\0' || strcmp(identity, a->identity) == 0) &&
		    (from[0] == '\0' || strcmp(from, caller) == 0) &&
		    a->issued_s <= json_integer_value(json_object_get(row, "before")))
			return true;
	}
	return false;
}

static void judge_login(struct judge *j, const struct accepted *a, int64_t now_s,
			struct verifier_decision *d)
{
	const struct known *k = j->known;
	const char *groups[MAX_GROUPS];
	struct policy_ssh_decision pd;
	const struct known_peer *caller;

	if (!in_force(j, now_s, d))
		return;
	caller = peer_by_addr(k, &a->client);
	if (caller == NULL) {
		refuse(d, "the calling machine is not one that this machine's policy knows");
		return;
	}
	for (size_t i = 0; i < a->group_count; i++)
		groups[i] = a->groups[i];
	/* Through another machine (ssh -J): its address, somebody else's certificate. */
	const bool jumped = a->caller[0] != '\0' && strcmp(a->caller, caller->id) != 0;
	struct policy_ssh_query query = {
		.identity = of_machine(a) ? NULL : a->identity,
		.proof = a->proof == PROOF_KEY	   ? POLICY_SSH_PROOF_KEY
			 : a->proof == PROOF_TOKEN ? POLICY_SSH_PROOF_TOKEN
						   : POLICY_SSH_PROOF_USUAL,
		.groups = groups,
		.group_count = a->group_count,
		.caller_peer = jumped ? a->caller : caller->id,
		.via_peer = jumped ? caller->id : NULL,
		.target_peer = j->trust.peer_id,
		.login = a->login,
		.auth_time_s = a->auth_time_s,
		.now_s = now_s,
	};
	snprintf(d->caller_peer, sizeof(d->caller_peer), "%s", caller->id);
	snprintf(d->caller_name, sizeof(d->caller_name), "%s", caller->name);
	snprintf(d->identity, sizeof(d->identity), "%s", a->identity);
	if (!of_machine(a) &&
	    (cut_off(k, a, caller->id) || (jumped && cut_off(k, a, a->caller)))) {
		refuse(d, "this login was ended: log in again");
		return;
	}
	policy_ssh_check(k->policy, k->world, &query, &pd);
	if (pd.allowed && a->proof == PROOF_MACHINE && !pd.machine_auth) {
		refuse(d, "the policy wants a person's login here");
		return;
	}
	if (!pd.allowed) {
		refuse(d, pd.reason);
		return;
	}
	d->allowed = true;
	d->caps = pd.caps & a->cap_mask;
	d->files_only = pd.files_only;
	d->pty = a->pty;
	snprintf(d->force_command, sizeof(d->force_command), "%s", a->force_command);
	d->again_at_s = pd.not_after_s;
	if (d->again_at_s == 0 || d->again_at_s > k->valid_until_s + SKEW_S + 1)
		d->again_at_s = k->valid_until_s + SKEW_S + 1;
	d->destination_count = pd.destination_count;
	for (size_t i = 0; i < pd.destination_count && i < POLICY_SSH_MAX_DESTINATIONS; i++)
		snprintf(d->destinations[i], sizeof(d->destinations[i]), "%s", pd.destinations[i]);
}

static void accept_if(struct judge *j, bool remember, const struct verifier_decision *d)
{
	if (d->allowed && remember)
		j->accepted = j->candidate;
}

static struct accepted *candidate(struct judge *j, enum proof proof, const char *login,
				  const struct ip_addr *client)
{
	struct accepted *a = &j->candidate;

	memset(a, 0, sizeof(*a));
	a->proof = proof;
	a->client = *client;
	a->cap_mask = UINT32_MAX;
	a->pty = true;
	snprintf(a->login, sizeof(a->login), "%s", login);
	return a;
}

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

static int check_cert(struct judge *j, const struct sshcert *cert, const char *login,
		      const struct ip_addr *client, int64_t now_s, struct verifier_decision *d)
{
	const struct sshcert_expect expect = {
		.cas = (const uint8_t(*)[32])j->known->ca,
		.ca_count = j->known->ca_count,
		.login = login,
		.source = *client,
		.need_source = true,
		.now_s = now_s,
		.revoked = j->known->revoked,
		.revoked_count = j->known->revoked_count,
	};
	struct error err = {0};

	if (sshcert_check(cert, &expect, &err) < 0) {
		refuse(d, error_text(&err));
		return -EACCES;
	}
	return 0;
}

static int take_cert(struct judge *j, const struct sshcert *cert, struct accepted *a,
		     struct verifier_decision *d)
{
	if (identity_of_key_id(cert->key_id, j->trust.peer_id, a->identity, sizeof(a->identity)) <
	    0) {
		refuse(d, "the certificate was made for another machine");
		return -EACCES;
	}
	if (caller_of_key_id(cert->key_id, a->caller, sizeof(a->caller)) < 0) {
		refuse(d, "the certificate does not say for which machine's user it was made");
		return -EACCES;
	}
	a->serial = cert->serial;
	memcpy(a->ca, cert->ca, sizeof(a->ca));
	/* Control minted it from a login that was fresh then. */
	a->auth_time_s = cert->valid_after_s;
	a->issued_s = cert->valid_after_s + SSHCERT_BACKDATED_S;
	a->cap_mask = caps_of_cert(cert);
	a->pty = (cert->extensions & SSHCERT_PERMIT_PTY) != 0;
	/* What control writes into certificates of who gets no shell, for a stock sshd. */
	if (strcmp(cert->force_command, "internal-sftp") == 0)
		a->cap_mask &= ~(uint32_t)(POLICY_SSH_SHELL | POLICY_SSH_EXEC);
	else
		snprintf(a->force_command, sizeof(a->force_command), "%s", cert->force_command);
	add_known_groups(j->known, a);
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
static void allow_break_glass(const struct judge *j, const struct accepted *a,
			      struct verifier_decision *d)
{
	const struct known_peer *caller =
		j->known != NULL ? peer_by_addr(j->known, &a->client) : NULL;

	d->allowed = true;
	d->break_glass = !j->trust.standalone;
	d->caps = a->cap_mask;
	d->pty = a->pty;
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
		refuse(d, error_text(&err));
		return;
	}
	if (!j->trust.standalone &&
	    cert->valid_before_s - cert->valid_after_s > BREAK_GLASS_MAX_S) {
		refuse(d, "break-glass certificates are taken for a day at most: sign one with "
			  "-V +1h");
		return;
	}
	a->proof = PROOF_BREAK_GLASS;
	a->serial = cert->serial;
	a->cap_mask = caps_of_cert(cert);
	a->pty = (cert->extensions & SSHCERT_PERMIT_PTY) != 0;
	snprintf(a->force_command, sizeof(a->force_command), "%s", cert->force_command);
	break_glass_identity(j, cert, a);
	allow_break_glass(j, a, d);
}

void judge_cert(struct judge *j, const uint8_t *blob, size_t len, const char *login,
		const struct ip_addr *client, int64_t now_s, bool remember,
		struct verifier_decision *ret_decision)
{
	struct accepted *a = candidate(j, PROOF_CERT, login, client);
	struct verifier_decision *d = ret_decision;
	struct sshcert *cert = calloc(1, sizeof(*cert));
	struct error err = {0};

	memset(d, 0, sizeof(*d));
	if (cert == NULL) {
		refuse(d, "out of memory");
		return;
	}
	if (sshcert_parse(blob, len, cert, &err) < 0) {
		refuse(d, error_text(&err));
	} else {
		take_subject_key(cert, d);
		if (of_break_glass(j, cert)) {
			judge_break_glass(j, cert, a, login, now_s, d);
			accept_if(j, remember, d);
		} else if (j->trust.standalone) {
			refuse(d, "the certificate is not of an authority that this server trusts");
		} else if (in_force(j, now_s, d) && check_cert(j, cert, login, client, now_s, d) == 0 &&
		    take_cert(j, cert, a, d) == 0) {
			judge_login(j, a, now_s, d);
			accept_if(j, remember, d);
		}
	}
	free(cert);
}

static int take_grant(struct judge *j, const json_t *grant, const char *login,
		      const char *session_hash, const struct ip_addr *client, struct accepted *a,
		      struct verifier_decision *d)
{
	char target[32], for_login[64], session[80], address[IP_ADDR_STRLEN], network[32];
	struct error err = {0};
	struct ip_addr caller;
	json_t *groups;

	if (json_get_string(grant, "network", network, sizeof(network), &err) < 0 ||
	    json_get_string(grant, "target", target, sizeof(target), &err) < 0 ||
	    json_get_string(grant, "login", for_login, sizeof(for_login), &err) < 0 ||
	    json_get_string(grant, "session", session, sizeof(session), &err) < 0 ||
	    json_get_string(grant, "caller_address", address, sizeof(address), &err) < 0 ||
	    json_get_string(grant, "identity", a->identity, sizeof(a->identity), &err) < 0 ||
	    json_get_int(grant, "auth_time", 0, INT64_MAX, &a->auth_time_s, &err) < 0 ||
	    json_get_int(grant, "issued", 0, INT64_MAX, &a->issued_s, &err) < 0 ||
	    json_get_array(grant, "groups", MAX_GROUPS, &groups, &err) < 0 ||
	    ip_addr_parse(address, &caller) < 0) {
		refuse(d, "the control server's grant cannot be read");
		return -EBADMSG;
	}
	if (strcmp(network, j->trust.network) != 0 || strcmp(target, j->trust.peer_id) != 0 ||
	    strcmp(for_login, login) != 0 || strcmp(session, session_hash) != 0 ||
	    !ip_addr_equal(&caller, client)) {
		refuse(d, "the control server's grant is for another connection");
		return -EACCES;
	}
	for (size_t i = 0; i < json_array_size(groups); i++) {
		const char *name = json_string_value(json_array_get(groups, i));

		if (name != NULL)
			snprintf(a->groups[a->group_count++], sizeof(a->groups[0]), "%s", name);
	}
	return 0;
}

void judge_grant(struct judge *j, const char *text, size_t len, const char *login,
		 const char *session_hash, const struct ip_addr *client, int64_t now_s,
		 struct verifier_decision *ret_decision)
{
	struct accepted *a = candidate(j, PROOF_GRANT, login, client);
	struct error err = {0};
	json_t *grant;

	memset(ret_decision, 0, sizeof(*ret_decision));
	if (!in_force(j, now_s, ret_decision))
		return;
	grant = signed_open(text, len, "grant", j->trust.signing_key, now_s, 0, &err);
	if (grant == NULL || !json_is_integer(json_object_get(grant, "valid_until")))
		refuse(ret_decision, err.code == -ETIME
					     ? "the control server's grant came too late"
					     : "the control server's grant does not verify");
	else if (take_grant(j, grant, login, session_hash, client, a, ret_decision) == 0) {
		judge_login(j, a, now_s, ret_decision);
		accept_if(j, true, ret_decision);
	}
	json_decref(grant);
}

void judge_machine(struct judge *j, const char *login, const struct ip_addr *client, int64_t now_s,
		   struct verifier_decision *ret_decision)
{
	struct accepted *a = candidate(j, PROOF_MACHINE, login, client);

	memset(ret_decision, 0, sizeof(*ret_decision));
	judge_login(j, a, now_s, ret_decision);
	accept_if(j, true, ret_decision);
}

void judge_key(struct judge *j, const char *login, const struct ip_addr *client, int64_t now_s,
	       bool remember, struct verifier_decision *ret_decision)
{
	struct accepted *a = candidate(j, PROOF_KEY, login, client);

	memset(ret_decision, 0, sizeof(*ret_decision));
	judge_login(j, a, now_s, ret_decision);
	accept_if(j, remember, ret_decision);
}

const char *judge_issuers(const struct judge *j)
{
	return j->known != NULL && j->known->issuers != NULL ? j->known->issuers : "[]";
}

/* Is this person logged in on the machine that calls? */
static bool is_at(const struct known *k, const char *identity, const struct ip_addr *client)
{
	const struct known_peer *caller = peer_by_addr(k, client);
	const json_t *peer, *name;
	size_t i, n;

	json_array_foreach(k->peer_list, i, peer)
	{
		const char *id = json_string_value(json_object_get(peer, "id"));

		if (caller == NULL || id == NULL || strcmp(id, caller->id) != 0)
			continue;
		json_array_foreach(json_object_get(peer, "identities"), n, name)
		{
			if (json_is_string(name) && strcmp(json_string_value(name), identity) == 0)
				return true;
		}
	}
	return false;
}

void judge_token(struct judge *j, const struct verifier_token *token, const char *login,
		 const struct ip_addr *client, int64_t now_s,
		 struct verifier_decision *ret_decision)
{
	struct accepted *a = candidate(j, PROOF_TOKEN, login, client);
	struct verifier_decision *d = ret_decision;

	memset(d, 0, sizeof(*d));
	if (!in_force(j, now_s, d))
		return;
	if (!is_at(j->known, token->identity, client)) {
		refuse(d, "the token's owner is not logged in on the machine that shows it: run "
			  "`warren login` there");
		return;
	}
	snprintf(a->identity, sizeof(a->identity), "%s", token->identity);
	a->auth_time_s = token->auth_time_s;
	a->issued_s = token->issued_s;
	for (size_t i = 0; i < token->group_count && i < MAX_GROUPS; i++)
		snprintf(a->groups[a->group_count++], sizeof(a->groups[0]), "%s",
			 token->groups[i]);
	add_known_groups(j->known, a);
	judge_login(j, a, now_s, d);
	accept_if(j, true, d);
}

void judge_banner(const struct judge *j, const char *login, const struct ip_addr *client,
		  int64_t now_s, struct verifier_decision *ret_decision)
{
	struct verifier_decision *d = ret_decision;
	const struct known_peer *caller;

	memset(d, 0, sizeof(*d));
	if (!in_force(j, now_s, d))
		return;
	caller = peer_by_addr(j->known, client);
	if (caller == NULL)
		refuse(d, "the calling machine is not one that this machine's policy knows");
	else
		d->allowed = policy_ssh_banner(j->known->policy, j->known->world, caller->id,
					       j->trust.peer_id, login, now_s);
}

static bool still_good(const struct judge *j, const struct accepted *a)
{
	bool ca = a->proof != PROOF_CERT;

	for (size_t i = 0; i < j->known->ca_count && !ca; i++)
		ca = memcmp(j->known->ca[i], a->ca, sizeof(a->ca)) == 0;
	for (size_t i = 0; i < j->known->revoked_count && a->proof == PROOF_CERT; i++)
		if (j->known->revoked[i] == a->serial)
			return false;
	return ca;
}

void judge_again(struct judge *j, int64_t now_s, struct verifier_decision *ret_decision)
{
	memset(ret_decision, 0, sizeof(*ret_decision));
	if (j->accepted.proof == PROOF_NONE)
		refuse(ret_decision, "nobody is logged in");
	else if (j->accepted.proof == PROOF_BREAK_GLASS)
		allow_break_glass(j, &j->accepted, ret_decision);
	else if (j->known != NULL && !still_good(j, &j->accepted))
		refuse(ret_decision, "the certificate of this login was revoked");
	else {
		if (j->known != NULL && !of_machine(&j->accepted))
			add_known_groups(j->known, &j->accepted);
		judge_login(j, &j->accepted, now_s, ret_decision);
	}
}
