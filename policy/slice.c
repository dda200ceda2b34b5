/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of a policy that one peer needs, as policy text: rules that name it on either side, ssh
 * rules of which it is the target or may be the caller, and the groups and hosts these refer to.
 * The text depends on nothing else, so that an edit elsewhere changes nobody's slice.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/model.h"

struct slice {
	const struct policy *policy;
	struct buffer *out;
	bool *used; /* per set */
	bool *used_workload;
	signed char *memo; /* per set: is the peer in it? -1: not asked yet */
};

static int put_string(struct buffer *out, const char *text)
{
	int rc = buffer_append(out, "\"", 1);

	for (; *text && !rc; text++) {
		uint8_t c = (uint8_t)*text;

		if (c == '"' || c == '\\')
			rc = buffer_printf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			rc = buffer_printf(out, "\\u%04x", c);
		else
			rc = buffer_append(out, text, 1);
	}
	return rc ? rc : buffer_append(out, "\"", 1);
}

static void use_workload(struct slice *slice, const struct model_atom *atom)
{
	const struct model_workload *w = NULL;

	if (atom->kind == MODEL_IDENTITY && model_is_workload(atom->text))
		w = model_find_workload(slice->policy, atom->text + strlen(POLICY_WORKLOAD_PREFIX));
	if (w)
		slice->used_workload[w - slice->policy->workloads] = true;
}

static int put_list(struct slice *slice, const char *key, const struct model_list *list)
{
	char text[300];
	int rc = put_string(slice->out, key);

	if (!rc)
		rc = buffer_printf(slice->out, ":[");
	for (size_t i = 0; i < list->count && !rc; i++) {
		if (list->atoms[i].kind == MODEL_SET)
			slice->used[list->atoms[i].set->index] = true;
		use_workload(slice, &list->atoms[i]);
		model_atom_text(&list->atoms[i], text, sizeof(text));
		if (i)
			rc = buffer_append(slice->out, ",", 1);
		if (!rc)
			rc = put_string(slice->out, text);
	}
	return rc ? rc : buffer_append(slice->out, "]", 1);
}

/* last: one more element, or NULL. */
static int put_strings(struct buffer *out, const char *key, const char *const *texts, size_t count,
		       const char *last)
{
	int rc = buffer_printf(out, ",\"%s\":[", key);

	for (size_t i = 0; i < count && !rc; i++) {
		if (i)
			rc = buffer_append(out, ",", 1);
		if (!rc)
			rc = put_string(out, texts[i]);
	}
	if (!rc && last)
		rc = buffer_printf(out, "%s\"%s\"", count ? "," : "", last);
	return rc ? rc : buffer_append(out, "]", 1);
}

static int put_not_after(struct buffer *out, int64_t not_after_s)
{
	time_t when = (time_t)not_after_s;
	struct tm tm;

	if (!gmtime_r(&when, &tm))
		return -EINVAL;
	return buffer_printf(out, "\"not_after\":\"%04d-%02d-%02dT%02d:%02d:%02dZ\"",
			     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			     tm.tm_sec);
}

static int put_when(struct slice *slice, const struct when *w, const struct model_list *networks)
{
	struct buffer *out = slice->out;
	int rc;

	if (!w->not_after_s && !w->hour_count && !networks->count)
		return 0;
	rc = buffer_printf(out, ",\"when\":{");
	if (!rc && networks->count)
		rc = put_list(slice, "from_networks", networks);
	if (!rc && networks->count && (w->not_after_s || w->hour_count))
		rc = buffer_append(out, ",", 1);
	if (!rc && w->not_after_s)
		rc = put_not_after(out, w->not_after_s);
	/* Names of zones as what they mean, so that all machines mean the same. */
	if (!rc && w->hour_count)
		rc = buffer_printf(out, "%s\"tz\":", w->not_after_s ? "," : "");
	if (!rc && w->hour_count)
		rc = put_string(out, w->tz);
	if (!rc && w->hour_count)
		rc = put_strings(out, "hours", w->hour_texts, w->hour_count, NULL);
	return rc ? rc : buffer_append(out, "}", 1);
}

static int put_rule(struct slice *slice, const struct model_rule *rule)
{
	struct buffer *out = slice->out;
	int rc = buffer_printf(out, "{%s", rule->deny ? "\"action\":\"deny\"," : "");

	if (!rc)
		rc = put_list(slice, "from", &rule->from);
	if (!rc)
		rc = buffer_append(out, ",", 1);
	if (!rc)
		rc = put_list(slice, "to", &rule->to);
	if (!rc && rule->proto != POLICY_PROTO_ANY)
		rc = buffer_printf(out, ",\"proto\":\"%s\"",
				   rule->proto == POLICY_PROTO_TCP   ? "tcp"
				   : rule->proto == POLICY_PROTO_UDP ? "udp"
								     : "icmp");
	if (!rc && rule->ports.count)
		rc = buffer_printf(out, ",\"ports\":\"");
	for (size_t i = 0; i < rule->ports.count && !rc; i++) {
		const struct model_interval *iv = &rule->ports.intervals[i];

		rc = buffer_printf(out, "%s%u", i ? "," : "", iv->first);
		if (!rc && iv->last != iv->first)
			rc = buffer_printf(out, "-%u", iv->last);
	}
	if (!rc && rule->ports.count)
		rc = buffer_append(out, "\"", 1);
	if (!rc)
		rc = put_when(slice, &rule->when, &rule->networks);
	return rc ? rc : buffer_append(out, "}", 1);
}

static int put_ssh_caps(struct buffer *out, uint32_t caps)
{
	static const char *const names[] = {"shell",   "exec",		 "sftp",
					    "forward", "remote-forward", "agent"};
	const char *have[sizeof(names) / sizeof(names[0])];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (caps & (uint32_t)1 << i)
			have[n++] = names[i];
	return put_strings(out, "allow", have, n, NULL);
}

static int put_ssh_auth(struct buffer *out, uint32_t auth)
{
	static const char *const names[] = {"identity", "machine", "key", "banner",
					    "token"};
	const char *have[sizeof(names) / sizeof(names[0])];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (auth & (uint32_t)1 << i)
			have[n++] = names[i];
	return put_strings(out, "auth", have, n, NULL);
}

static int put_ssh_rule(struct slice *slice, const struct model_ssh_rule *rule)
{
	struct buffer *out = slice->out;
	int rc = buffer_append(out, "{", 1);

	if (!rc)
		rc = put_list(slice, "from", &rule->from);
	if (!rc)
		rc = buffer_append(out, ",", 1);
	if (!rc)
		rc = put_list(slice, "to", &rule->to);
	if (!rc)
		rc = put_strings(out, "logins", rule->logins, rule->login_count,
				 rule->same_name ? "=" : NULL);
	if (!rc)
		rc = put_ssh_caps(out, rule->caps);
	if (!rc && rule->files_only)
		rc = buffer_printf(out, ",\"files_only\":true");
	if (!rc && rule->force_command)
		rc = buffer_printf(out, ",\"force_command\":");
	if (!rc && rule->force_command)
		rc = put_string(out, rule->force_command);
	if (!rc && rule->auth != POLICY_SSH_AUTH_IDENTITY)
		rc = put_ssh_auth(out, rule->auth);
	if (!rc)
		rc = put_when(slice, &rule->when, &rule->networks);
	if (!rc && rule->cert_ttl_s)
		rc = buffer_printf(out, ",\"cert_ttl\":%u", rule->cert_ttl_s);
	if (!rc && rule->via.count) {
		rc = buffer_append(out, ",", 1);
		if (!rc)
			rc = put_list(slice, "via", &rule->via);
	}
	if (!rc && rule->max_login_age_s)
		rc = buffer_printf(out, ",\"max_login_age\":%u", rule->max_login_age_s);
	if (!rc && rule->destination_count)
		rc = put_strings(out, "destinations", rule->destinations, rule->destination_count,
				 NULL);
	return rc ? rc : buffer_append(out, "}", 1);
}

/* Could this machine be the caller, with whoever sits in front of it? */
static bool may_call(const struct model_list *from, const struct policy_world *w,
		     const struct world_peer *self, signed char *memo)
{
	if (match_list_memo(from, w, self, memo))
		return true;
	for (size_t i = 0; i < from->count; i++) {
		const struct model_atom *atom = &from->atoms[i];
		const struct model_list one = {.atoms = &from->atoms[i], .count = 1};
		const struct model_list *list =
			atom->kind == MODEL_SET && !atom->set->host ? &atom->set->members : &one;

		for (size_t j = 0; j < list->count; j++)
			if (list->atoms[j].kind == MODEL_IDENTITY ||
			    list->atoms[j].kind == MODEL_PROVIDER_GROUP)
				return true;
	}
	return false;
}

static int put_rules(struct slice *slice, const struct policy *p, const struct policy_world *w,
		     const struct world_peer *self)
{
	bool first = true;
	int rc = buffer_printf(slice->out, "{\"rules\":[");

	for (size_t i = 0; i < p->rule_count && !rc; i++) {
		const struct model_rule *rule = &p->rules[i];

		if (!match_list_memo(&rule->from, w, self, slice->memo) &&
		    !match_list_memo(&rule->to, w, self, slice->memo))
			continue;
		rc = buffer_printf(slice->out, first ? "\n" : ",\n");
		if (!rc)
			rc = put_rule(slice, rule);
		first = false;
	}
	if (!rc)
		rc = buffer_printf(slice->out, "],\n\"ssh\":[");
	first = true;
	for (size_t i = 0; i < p->ssh_count && !rc; i++) {
		const struct model_ssh_rule *rule = &p->ssh[i];

		if (!match_list_memo(&rule->to, w, self, slice->memo) &&
		    !may_call(&rule->from, w, self, slice->memo))
			continue;
		rc = buffer_printf(slice->out, first ? "\n" : ",\n");
		if (!rc)
			rc = put_ssh_rule(slice, rule);
		first = false;
	}
	return rc ? rc : buffer_append(slice->out, "]", 1);
}

static int put_sets(struct slice *slice, const struct policy *p, bool hosts)
{
	bool first = true;
	int rc = buffer_printf(slice->out, ",\n\"%s\":{", hosts ? "hosts" : "groups");

	for (size_t i = 0; i < p->set_count && !rc; i++) {
		if (!slice->used[i] || p->sets[i].host != hosts)
			continue;
		rc = buffer_printf(slice->out, first ? "\n" : ",\n");
		if (!rc)
			rc = put_list(slice, p->sets[i].name, &p->sets[i].members);
		first = false;
	}
	return rc ? rc : buffer_append(slice->out, "}", 1);
}

/* Their names only: which token is whom is the control server's business. */
static int put_workloads(struct slice *slice, const struct policy *p)
{
	bool first = true;
	int rc = 0;

	for (size_t i = 0; i < p->workload_count && !rc; i++) {
		if (!slice->used_workload[i])
			continue;
		rc = buffer_printf(slice->out, "%s", first ? ",\n\"workloads\":{" : ",");
		if (!rc)
			rc = put_string(slice->out, p->workloads[i].name);
		if (!rc)
			rc = buffer_printf(slice->out, ":{}");
		first = false;
	}
	return rc || first ? rc : buffer_append(slice->out, "}", 1);
}

int policy_slice(const struct policy *p, const struct policy_world *w, const char *peer_id,
		 struct buffer *out)
{
	const struct world_peer *self = world_find_peer(w, peer_id);
	struct slice slice = {.out = out, .policy = p};
	int rc;

	if (!self)
		return -ENOENT;
	slice.used = calloc(p->set_count + 1, sizeof(*slice.used));
	slice.used_workload = calloc(p->workload_count + 1, sizeof(*slice.used_workload));
	slice.memo = malloc(p->set_count + 1);
	if (!slice.used || !slice.memo || !slice.used_workload) {
		free(slice.used);
		free(slice.used_workload);
		free(slice.memo);
		return -ENOMEM;
	}
	memset(slice.memo, -1, p->set_count + 1);
	rc = put_rules(&slice, p, w, self);
	if (!rc)
		rc = put_sets(&slice, p, false);
	if (!rc)
		rc = put_sets(&slice, p, true);
	if (!rc)
		rc = put_workloads(&slice, p);
	if (!rc)
		rc = buffer_append(out, "}\n", 2);
	free(slice.used);
	free(slice.used_workload);
	free(slice.memo);
	return rc;
}
