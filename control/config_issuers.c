/* SPDX-License-Identifier: Apache-2.0
 *
 * "issuers" of control.json: whose tokens are taken, for what, and how they are read. The single
 * keys issuer, client_id, … are its first entry. Refuses entries that would let one token do for
 * two purposes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/config.h"
#include "platform/json.h"

#define WORKLOAD_MAX_AGE_S   3600
#define WORKLOAD_AGE_LIMIT_S 86400
/* Tokens that people type as a password at a target; control never takes them (PROTOCOL.md). */
#define PASSWORD_AUDIENCE "warren-ssh"

struct place {
	size_t index;
	struct error *err;
};

/* The sentence is there already. */
static int complain(const struct place *at, int r)
{
	(void)error_prefix(at->err, "\"issuers\" entry %zu", at->index + 1);
	return r;
}

static int get_text(const struct place *at, const json_t *entry, const char *key, char *out,
		    size_t cap)
{
	int r = json_get_string(entry, key, out, cap, at->err);

	return r == -ENOENT ? 0 : r < 0 ? complain(at, r) : 0;
}

/* A string or an array of strings. */
static int get_audiences(const struct place *at, const json_t *entry, const char *key,
			 char out[][CONTROL_AUDIENCE_SIZE], size_t *ret_count)
{
	const json_t *value = json_object_get(entry, key), *item;
	size_t count = json_is_array(value) ? json_array_size(value) : value ? 1 : 0;

	if (value && (count == 0 || count > CONTROL_MAX_AUDIENCES))
		return complain(at, error_set(at->err, -EINVAL, "\"%s\" is not 1 to %d audiences",
					      key, CONTROL_MAX_AUDIENCES));
	for (size_t i = 0; i < count; i++) {
		const char *text;

		item = json_is_array(value) ? json_array_get(value, i) : value;
		text = json_string_value(item);
		if (!text || !text[0] || json_string_length(item) != strlen(text) ||
		    strlen(text) >= CONTROL_AUDIENCE_SIZE)
			return complain(at, error_set(at->err, -EINVAL,
						      "\"%s\" holds something that is no audience",
						      key));
		if (strcmp(text, PASSWORD_AUDIENCE) == 0)
			return complain(
				at,
				error_set(at->err, -EINVAL,
					  "the audience \"" PASSWORD_AUDIENCE
					  "\" belongs to tokens that targets see; write another"));
		snprintf(out[i], CONTROL_AUDIENCE_SIZE, "%s", text);
	}
	*ret_count = count;
	return 0;
}

static int get_seconds(const struct place *at, const json_t *entry, const char *key, int64_t max,
		       int64_t *ret_s)
{
	int r = json_get_int(entry, key, 1, max, ret_s, at->err);

	return r == -ENOENT ? 0 : r < 0 ? complain(at, r) : 0;
}

/* "people" or "workload"; "id" or "access". */
static int get_choice(const struct place *at, const json_t *entry, const char *key,
		      const char *plain, const char *special, bool *ret_special)
{
	char text[32] = "";
	int r = get_text(at, entry, key, text, sizeof(text));

	if (r < 0)
		return r;
	*ret_special = strcmp(text, special) == 0;
	if (text[0] && !*ret_special && strcmp(text, plain) != 0)
		return complain(at, error_set(at->err, -EINVAL,
					      "\"%s\" is \"%s\": write \"%s\" or \"%s\"", key, text,
					      plain, special));
	return 0;
}

static int get_ports(const struct place *at, const json_t *entry, struct control_issuer *i)
{
	const size_t max = sizeof(i->redirect_ports) / sizeof(i->redirect_ports[0]);
	const json_t *list = json_object_get(entry, "redirect_ports"), *item;
	size_t n;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > max)
		return complain(at, error_set(at->err, -EINVAL,
					      "\"redirect_ports\" is a list of one to %zu ports",
					      max));
	json_array_foreach(list, n, item)
	{
		json_int_t port = json_integer_value(item);

		if (!json_is_integer(item) || port < 1024 || port > 65535)
			return complain(at, error_set(at->err, -EINVAL,
						      "\"redirect_ports\" holds ports from 1024 "
						      "to 65535"));
		i->redirect_ports[i->redirect_port_count++] = (uint16_t)port;
	}
	return 0;
}

static int read_entry(const struct place *at, const json_t *entry, struct control_issuer *i)
{
	static const char *const known[] = {
		"issuer",  "client_id",	       "client_secret_file", "ca_file", "audiences",
		"token",   "user_claim",       "groups_claim",	     "skew_s",	"max_age_s",
		"purpose", "enroll_audiences", "resource",	     "redirect_ports",
		NULL};
	int r;

	if (!json_is_object(entry))
		return complain(at, error_set(at->err, -EINVAL, "is not an object"));
	r = json_only_keys(entry, known, at->err);
	if (r < 0)
		return complain(at, r);
	r = get_text(at, entry, "issuer", i->issuer, sizeof(i->issuer));
	if (r == 0)
		r = get_text(at, entry, "client_id", i->client_id, sizeof(i->client_id));
	if (r == 0)
		r = get_text(at, entry, "client_secret_file", i->client_secret_file,
			     sizeof(i->client_secret_file));
	if (r == 0)
		r = get_text(at, entry, "ca_file", i->ca_file, sizeof(i->ca_file));
	if (r == 0)
		r = get_text(at, entry, "user_claim", i->user_claim, sizeof(i->user_claim));
	if (r == 0)
		r = get_text(at, entry, "groups_claim", i->groups_claim, sizeof(i->groups_claim));
	if (r == 0)
		r = get_text(at, entry, "resource", i->resource, sizeof(i->resource));
	if (r == 0)
		r = get_audiences(at, entry, "audiences", i->audiences, &i->audience_count);
	if (r == 0)
		r = get_audiences(at, entry, "enroll_audiences", i->enroll_audiences,
				  &i->enroll_audience_count);
	if (r == 0)
		r = get_choice(at, entry, "purpose", "people", "workload", &i->workload);
	if (r == 0)
		r = get_choice(at, entry, "token", "id", "access", &i->access_tokens);
	if (r == 0)
		r = get_ports(at, entry, i);
	if (r == 0)
		r = get_seconds(at, entry, "skew_s", 600, &i->skew_s);
	if (r == 0)
		r = get_seconds(at, entry, "max_age_s", INT64_C(366) * 86400, &i->max_age_s);
	return r;
}

int config_issuers(const json_t *root, struct control_config *config, struct error *err)
{
	const json_t *list = json_object_get(root, "issuers");
	int r = 0;

	if (!list)
		return 0;
	/* One place is the single keys'. */
	if (!json_is_array(list) || json_array_size(list) >= CONTROL_MAX_ISSUERS)
		return error_set(err, -EINVAL, "\"issuers\" is not a list of at most %d issuers",
				 CONTROL_MAX_ISSUERS - 1);
	config->issuer_count = json_array_size(list);
	for (size_t i = 0; r == 0 && i < config->issuer_count; i++) {
		struct place at = {i, err};

		config->issuers[i] = (struct control_issuer){0};
		r = read_entry(&at, json_array_get(list, i), &config->issuers[i]);
	}
	return r;
}

/* ---- what depends on the rest ---- */

/* Tokens for SSH passwords (ssh/PROTOCOL.md section 8) must be good for nothing here. */
static int check_ssh_audience(const struct control_issuer *i, struct error *err)
{
	bool taken = strcmp(i->client_id, CONTROL_SSH_AUDIENCE) == 0;

	for (size_t k = 0; k < i->audience_count; k++)
		taken = taken || strcmp(i->audiences[k], CONTROL_SSH_AUDIENCE) == 0;
	for (size_t k = 0; k < i->enroll_audience_count; k++)
		taken = taken || strcmp(i->enroll_audiences[k], CONTROL_SSH_AUDIENCE) == 0;
	return taken ? error_set(err, -EINVAL,
				 "the issuer \"%s\" cannot have the audience \"%s\": it is for "
				 "tokens that do as SSH passwords, and nothing else",
				 i->issuer, CONTROL_SSH_AUDIENCE)
		     : 0;
}

static int check_people(const struct control_issuer *i, struct error *err)
{
	if (check_ssh_audience(i, err) < 0)
		return -EINVAL;
	if (!i->client_id[0])
		return error_set(
			err, -EINVAL,
			"the issuer \"%s\" needs a \"client_id\": register Warren with the "
			"provider and write its client id",
			i->issuer);
	if (i->enroll_audience_count)
		return error_set(err, -EINVAL,
				 "the issuer \"%s\" is people's: \"enroll_audiences\" is for "
				 "\"purpose\": \"workload\"",
				 i->issuer);
	if (i->access_tokens && !i->audience_count)
		return error_set(
			err, -EINVAL,
			"the issuer \"%s\" with \"token\": \"access\" needs \"audiences\": "
			"write what the provider puts into \"aud\" of access tokens",
			i->issuer);
	return 0;
}

static int check_workload(const struct control_config *c, struct control_issuer *i,
			  struct error *err)
{
	if (check_ssh_audience(i, err) < 0)
		return -EINVAL;
	if (i->client_secret_file[0] || i->user_claim[0] || i->groups_claim[0] || i->resource[0] ||
	    i->redirect_port_count)
		return error_set(err, -EINVAL,
				 "the issuer \"%s\" is for workloads, which the policy's "
				 "\"workloads\" name: remove client_secret_file, user_claim, "
				 "groups_claim, resource and redirect_ports",
				 i->issuer);
	if (!i->audience_count) {
		snprintf(i->audiences[0], sizeof(i->audiences[0]), "%s/v1/ssh/cert", c->public_url);
		i->audience_count = 1;
	}
	if (!i->enroll_audience_count) {
		snprintf(i->enroll_audiences[0], sizeof(i->enroll_audiences[0]), "%s/v1/enroll",
			 c->public_url);
		i->enroll_audience_count = 1;
	}
	for (size_t a = 0; a < i->audience_count; a++)
		for (size_t b = 0; b < i->enroll_audience_count; b++)
			if (strcmp(i->audiences[a], i->enroll_audiences[b]) == 0)
				return error_set(
					err, -EINVAL,
					"the issuer \"%s\" has \"%s\" in \"audiences\" and "
					"in \"enroll_audiences\": one token would do for "
					"both",
					i->issuer, i->audiences[a]);
	if (i->max_age_s > WORKLOAD_AGE_LIMIT_S)
		return error_set(err, -EINVAL,
				 "\"max_age_s\" of the issuer \"%s\" is more than a day: tokens of "
				 "workloads are short-lived",
				 i->issuer);
	if (!i->max_age_s)
		i->max_age_s = WORKLOAD_MAX_AGE_S;
	return 0;
}

static void single_keys_first(struct control_config *c)
{
	struct control_issuer *i = &c->issuers[0];

	if (!c->issuer[0])
		return;
	memmove(&c->issuers[1], &c->issuers[0], c->issuer_count * sizeof(c->issuers[0]));
	c->issuer_count++;
	*i = (struct control_issuer){0};
	snprintf(i->issuer, sizeof(i->issuer), "%s", c->issuer);
	snprintf(i->client_id, sizeof(i->client_id), "%s", c->client_id);
	snprintf(i->client_secret_file, sizeof(i->client_secret_file), "%s", c->client_secret_file);
	snprintf(i->ca_file, sizeof(i->ca_file), "%s", c->issuer_ca_file);
}

/* The first of people becomes the first of all, and what the single keys say. */
static void people_first(struct control_config *c)
{
	for (size_t i = 0; i < c->issuer_count; i++) {
		struct control_issuer found = c->issuers[i];

		if (found.workload)
			continue;
		memmove(&c->issuers[1], &c->issuers[0], i * sizeof(c->issuers[0]));
		c->issuers[0] = found;
		snprintf(c->issuer, sizeof(c->issuer), "%s", found.issuer);
		snprintf(c->client_id, sizeof(c->client_id), "%s", found.client_id);
		return;
	}
}

static int check_entry(struct control_config *c, size_t index, struct error *err)
{
	struct control_issuer *i = &c->issuers[index];

	if (strncmp(i->issuer, "https://", 8) != 0)
		return error_set(err, -EINVAL,
				 "\"issuer\" is \"%s\": write the provider's https:// address "
				 "exactly as its discovery document does",
				 i->issuer);
	for (size_t other = 0; other < index; other++)
		if (strcmp(c->issuers[other].issuer, i->issuer) == 0)
			return error_set(err, -EINVAL,
					 "the issuer \"%s\" is there twice: one token would do for "
					 "both",
					 i->issuer);
	if (strcmp(i->issuer, c->public_url) == 0)
		return error_set(err, -EINVAL,
				 "the issuer \"%s\" is this server itself, whose people are known "
				 "without it",
				 i->issuer);
	if (!i->workload && !i->user_claim[0])
		snprintf(i->user_claim, sizeof(i->user_claim), "%s", c->user_claim);
	if (!i->workload && !i->groups_claim[0])
		snprintf(i->groups_claim, sizeof(i->groups_claim), "%s", c->groups_claim);
	return i->workload ? check_workload(c, i, err) : check_people(i, err);
}

int config_issuers_finish(struct control_config *c, struct error *err)
{
	int r = 0;

	single_keys_first(c);
	people_first(c);
	for (size_t i = 0; r == 0 && i < c->issuer_count; i++)
		r = check_entry(c, i, err);
	if (r == 0 && c->issuer[0] && c->login_enrolls && c->issuers[0].access_tokens)
		return error_set(
			err, -EINVAL,
			"\"login_enrolls\" needs id tokens, which name the machine's keys: "
			"\"token\": \"access\" does not go with it");
	return r;
}

json_t *config_issuer_object(const struct control_config *c)
{
	const struct control_issuer *i = c->issuer[0] ? &c->issuers[0] : NULL;
	json_t *o = json_pack("{s:s,s:s,s:b,s:s}", "issuer", i ? c->issuer : c->public_url,
			      "client_id", c->client_id, "embedded", i == NULL, "user_claim",
			      i && i->user_claim[0] ? i->user_claim : c->user_claim);
	int r = o ? 0 : -1;

	if (r == 0 && i && i->access_tokens)
		r = json_object_set_new(o, "access_audience", json_string(i->audiences[0]));
	if (r == 0 && i && i->resource[0])
		r = json_object_set_new(o, "resource", json_string(i->resource));
	if (r == 0 && i && i->max_age_s)
		r = json_object_set_new(o, "max_age", json_integer(i->max_age_s));
	if (r == 0 && i && i->redirect_port_count)
		r = json_object_set_new(o, "redirect_ports", json_array());
	for (size_t n = 0; r == 0 && i && n < i->redirect_port_count; n++)
		r = json_array_append_new(json_object_get(o, "redirect_ports"),
					  json_integer(i->redirect_ports[n]));
	if (r < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}
