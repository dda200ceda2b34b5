/* SPDX-License-Identifier: Apache-2.0
 *
 * The verifier's judgement. A login is allowed only when the object is in force, the proof holds
 * for this machine, this caller and this login, and policy says yes. Everything else is a refusal
 * with a reason. Here: policy, grants, machines, keys, tokens; certificates are in judge_cert.c,
 * the object in judge_object.c.
 */
#include "ssh/judge_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "identity/signed.h"
#include "platform/json.h"

void judge_refuse(struct verifier_decision *d, const char *sentence)
{
	d->allowed = false;
	snprintf(d->message, sizeof(d->message), "%s", sentence);
}

const struct known_peer *judge_peer_by_addr(const struct known *k, const struct ip_addr *addr)
{
	for (size_t i = 0; i < k->peer_count; i++)
		if (ip_addr_equal(&k->peers[i].v4, addr) || ip_addr_equal(&k->peers[i].v6, addr))
			return &k->peers[i];
	return NULL;
}

bool judge_in_force(const struct judge *j, int64_t now_s, struct verifier_decision *d)
{
	if (j->known == NULL)
		judge_refuse(d, "this machine has no policy from its control server yet");
	else if (now_s > j->known->valid_until_s + SKEW_S)
		judge_refuse(
			d,
			"this machine's policy is out of date: it has not heard from its control "
			"server "
			"for too long");
	else if (!j->known->enabled)
		judge_refuse(d,
			     "SSH through the mesh is switched off for this machine on the control "
			     "server");
	else
		return true;
	return false;
}

void judge_add_group(struct accepted *a, const char *name)
{
	if (name != NULL && a->group_count < MAX_GROUPS && strlen(name) < sizeof(a->groups[0]))
		snprintf(a->groups[a->group_count++], sizeof(a->groups[0]), "%s", name);
}

/* Groups that control vouches for: of the identity in the object. */
void judge_add_groups(const struct known *k, struct accepted *a)
{
	const json_t *list = json_object_get(k->identities, a->identity);

	/* A grant's own groups stand until the object has newer ones. */
	if (list == NULL && (a->proof == PROOF_GRANT || a->proof == PROOF_TOKEN))
		return;
	a->group_count = 0;
	for (size_t i = 0; i < json_array_size(list); i++)
		judge_add_group(a, json_string_value(json_array_get(list, i)));
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

/* The command of the certificate and policy's: as sshd does with a certificate's and a key's, both or
 * neither must be meant. One alone is in force. */
static bool settle_command(const struct accepted *a, const struct policy_ssh_decision *pd,
			   struct verifier_decision *d)
{
	const char *command = pd->force_command[0] != '\0' ? pd->force_command : a->force_command;

	if (pd->force_command[0] != '\0' &&
	    (a->files || (a->force_command[0] != '\0' &&
			  strcmp(a->force_command, pd->force_command) != 0))) {
		judge_refuse(d, "policy wants another command for this login than its certificate "
				"says: log in again");
		return false;
	}
	static_assert(sizeof(d->force_command) >= sizeof(pd->force_command) &&
			      sizeof(d->force_command) >= sizeof(a->force_command),
		      "no command is cut off");
	snprintf(d->force_command, sizeof(d->force_command), "%s", command);
	return true;
}

void judge_login(struct judge *j, const struct accepted *a, int64_t now_s,
		 struct verifier_decision *d)
{
	const struct known *k = j->known;
	const char *groups[MAX_GROUPS];
	struct policy_ssh_decision pd;
	const struct known_peer *caller;

	if (!judge_in_force(j, now_s, d))
		return;
	caller = judge_peer_by_addr(k, &a->client);
	if (caller == NULL) {
		judge_refuse(d, "the calling machine is not one that this machine's policy knows");
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
	if (!of_machine(a) && (cut_off(k, a, caller->id) || (jumped && cut_off(k, a, a->caller)))) {
		judge_refuse(d, "this login was ended: log in again");
		return;
	}
	policy_ssh_check(k->policy, k->world, &query, &pd);
	if (pd.allowed && a->proof == PROOF_MACHINE && !pd.machine_auth) {
		judge_refuse(d, "the policy wants a person's login here");
		return;
	}
	if (!pd.allowed) {
		judge_refuse(d, pd.reason);
		return;
	}
	if (!settle_command(a, &pd, d))
		return;
	d->allowed = true;
	d->caps = pd.caps & a->cap_mask;
	d->files_only = pd.files_only;
	d->pty = a->pty;
	/* As sshd under ForceCommand: what an administrator forces is what runs. */
	d->user_rc = a->user_rc && pd.force_command[0] == '\0';
	d->again_at_s = pd.not_after_s;
	if (d->again_at_s == 0 || d->again_at_s > k->valid_until_s + SKEW_S + 1)
		d->again_at_s = k->valid_until_s + SKEW_S + 1;
	d->destination_count = pd.destination_count;
	for (size_t i = 0; i < pd.destination_count && i < POLICY_SSH_MAX_DESTINATIONS; i++)
		snprintf(d->destinations[i], sizeof(d->destinations[i]), "%s", pd.destinations[i]);
}

void judge_accept_if(struct judge *j, bool remember, const struct verifier_decision *d)
{
	if (d->allowed && remember)
		j->accepted = j->candidate;
}

struct accepted *judge_candidate(struct judge *j, enum proof proof, const char *login,
				 const struct ip_addr *client)
{
	struct accepted *a = &j->candidate;

	memset(a, 0, sizeof(*a));
	a->proof = proof;
	a->client = *client;
	a->cap_mask = UINT32_MAX;
	a->pty = a->user_rc = true;
	snprintf(a->login, sizeof(a->login), "%s", login);
	return a;
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
		judge_refuse(d, "the control server's grant cannot be read");
		return -EBADMSG;
	}
	if (strcmp(network, j->trust.network) != 0 || strcmp(target, j->trust.peer_id) != 0 ||
	    strcmp(for_login, login) != 0 || strcmp(session, session_hash) != 0 ||
	    !ip_addr_equal(&caller, client)) {
		judge_refuse(d, "the control server's grant is for another connection");
		return -EACCES;
	}
	for (size_t i = 0; i < json_array_size(groups); i++)
		judge_add_group(a, json_string_value(json_array_get(groups, i)));
	return 0;
}

void judge_grant(struct judge *j, const char *text, size_t len, const char *login,
		 const char *session_hash, const struct ip_addr *client, int64_t now_s,
		 struct verifier_decision *ret_decision)
{
	struct accepted *a = judge_candidate(j, PROOF_GRANT, login, client);
	struct error err = {0};
	json_t *grant;

	memset(ret_decision, 0, sizeof(*ret_decision));
	if (!judge_in_force(j, now_s, ret_decision))
		return;
	grant = signed_open(text, len, "grant", j->trust.signing_key, now_s, 0, &err);
	if (grant == NULL || !json_is_integer(json_object_get(grant, "valid_until")))
		judge_refuse(ret_decision, err.code == -ETIME
						   ? "the control server's grant came too late"
						   : "the control server's grant does not verify");
	else if (take_grant(j, grant, login, session_hash, client, a, ret_decision) == 0) {
		judge_login(j, a, now_s, ret_decision);
		judge_accept_if(j, true, ret_decision);
	}
	json_decref(grant);
}

void judge_machine(struct judge *j, const char *login, const struct ip_addr *client, int64_t now_s,
		   struct verifier_decision *ret_decision)
{
	struct accepted *a = judge_candidate(j, PROOF_MACHINE, login, client);

	memset(ret_decision, 0, sizeof(*ret_decision));
	judge_login(j, a, now_s, ret_decision);
	judge_accept_if(j, true, ret_decision);
}

void judge_key(struct judge *j, const char *login, const struct ip_addr *client, int64_t now_s,
	       bool remember, struct verifier_decision *ret_decision)
{
	struct accepted *a = judge_candidate(j, PROOF_KEY, login, client);

	memset(ret_decision, 0, sizeof(*ret_decision));
	judge_login(j, a, now_s, ret_decision);
	judge_accept_if(j, remember, ret_decision);
}

/* Is this person logged in on the machine that calls? */
static bool is_at(const struct known *k, const char *identity, const struct ip_addr *client)
{
	const struct known_peer *caller = judge_peer_by_addr(k, client);
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
	struct accepted *a = judge_candidate(j, PROOF_TOKEN, login, client);
	struct verifier_decision *d = ret_decision;

	memset(d, 0, sizeof(*d));
	if (!judge_in_force(j, now_s, d))
		return;
	if (!is_at(j->known, token->identity, client)) {
		judge_refuse(d,
			     "the token's owner is not logged in on the machine that shows it: run "
			     "`warren login` there");
		return;
	}
	snprintf(a->identity, sizeof(a->identity), "%s", token->identity);
	a->auth_time_s = token->auth_time_s;
	a->issued_s = token->issued_s;
	for (size_t i = 0; i < token->group_count && i < MAX_GROUPS; i++)
		judge_add_group(a, token->groups[i]);
	judge_add_groups(j->known, a);
	judge_login(j, a, now_s, d);
	judge_accept_if(j, true, d);
}

void judge_banner(const struct judge *j, const char *login, const struct ip_addr *client,
		  int64_t now_s, struct verifier_decision *ret_decision)
{
	struct verifier_decision *d = ret_decision;
	const struct known_peer *caller;

	memset(d, 0, sizeof(*d));
	if (!judge_in_force(j, now_s, d))
		return;
	caller = judge_peer_by_addr(j->known, client);
	if (caller == NULL)
		judge_refuse(d, "the calling machine is not one that this machine's policy knows");
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
		judge_refuse(ret_decision, "nobody is logged in");
	else if (j->accepted.proof == PROOF_BREAK_GLASS)
		judge_allow_break_glass(j, &j->accepted, ret_decision);
	else if (j->known != NULL && !still_good(j, &j->accepted))
		judge_refuse(ret_decision, "the certificate of this login was revoked");
	else {
		if (j->known != NULL && !of_machine(&j->accepted))
			judge_add_groups(j->known, &j->accepted);
		judge_login(j, &j->accepted, now_s, ret_decision);
	}
}
