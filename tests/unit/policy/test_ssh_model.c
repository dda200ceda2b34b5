/* SPDX-License-Identifier: Apache-2.0
 *
 * ssh rules against a model that shares nothing with them: random rules are kept as plain tables, the
 * policy's answer comes from their text, the model's from the tables. And against surprises: whatever
 * several rules allow together, one of them allows alone (for a command: alone and as that command).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "policy/policy.h"

#ifdef __SANITIZE_ADDRESS__
#define SEEDS 1500
#else
#define SEEDS 4000
#endif
#define RULES 6
#define NOW   1700000000

static uint64_t rng;

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 33) % n;
}

/* ---- the network: fixed, so that the tables below can be read */

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const people[] = {"u1@e.org", "Root@e.org", "u2@f.org", "workload:bot"};
static const char *const logins[] = {"deploy", "root", "u1", "u2", "bot"};
static const char *const groups[] = {"g1", "g2"};
static const char *const commands[] = {"", "id -un", "rrsync -ro \"/srv\"", "C:\\x"};
static const char *const destinations[] = {"db:5432", "*.e.org:443", "10.0.0.9:80-90"};
static const struct {
	const char *host;
	uint16_t port;
} places[] = {{"db", 5432}, {"a.e.org", 443}, {"10.0.0.9", 85}, {"other", 22}};

/* Machine i is named m<i>, id p_<i>, address 100.64.<i / 2>.<10 + i>. */
enum { MACHINES = 4 };
static const int setup_key_of[MACHINES] = {0, 1, 0, -1};	   /* k0, k1 */
static const unsigned owners_of[MACHINES] = {1u << 0, 1u << 1 | 1u << 2, 0, 1u << 0}; /* people */
static const unsigned known_groups_of[] = {1u << 0, 0, 1u << 1, 0};			 /* by person */

static struct policy_world *make_world(void)
{
	struct policy_world *w;

	assert_int_equal(policy_world_new(&w), 0);
	for (int i = 0; i < MACHINES; i++) {
		char id[8], name[8], key[8];
		const char *who[COUNT(people)];
		struct policy_peer peer = {.id = id,
					   .name = name,
					   .v4 = {4, {100, 64, (uint8_t)(i / 2), (uint8_t)(10 + i)}},
					   .identities = who,
					   .ssh_enabled = true,
					   .ssh_advertised = true};

		(void)snprintf(id, sizeof(id), "p_%d", i);
		(void)snprintf(name, sizeof(name), "m%d", i);
		(void)snprintf(key, sizeof(key), "k%d", setup_key_of[i]);
		if (setup_key_of[i] >= 0)
			peer.setup_key = key;
		for (size_t j = 0; j < COUNT(people); j++)
			if (owners_of[i] >> j & 1)
				who[peer.identity_count++] = people[j];
		assert_int_equal(policy_world_add_peer(w, &peer), 0);
	}
	for (size_t i = 0; i < 3; i++) {
		const char *list[2];
		size_t n = 0;

		for (size_t j = 0; j < 2; j++)
			if (known_groups_of[i] >> j & 1)
				list[n++] = groups[j];
		assert_int_equal(policy_world_add_identity(w, people[i], list, n), 0);
	}
	return w;
}

/* ---- rules as tables */

enum kind { ANY, PERSON, GROUP, KEY, MACHINE, NET, PEOPLE_SET, HOST_SET };

struct selector {
	enum kind kind;
	unsigned n;
};

struct list {
	struct selector of[3];
	size_t count;
};

struct rule {
	struct list from, to, via;
	unsigned logins; /* mask; bit COUNT(logins): "=" */
	uint32_t caps, auth;
	bool files_only, ended;
	unsigned command; /* of commands; 0: none */
	unsigned max_age, ttl; /* s; 0: not given */
	unsigned nets;	       /* mask of 100.64.<n>.0/24; 0: not given */
	unsigned destinations; /* mask; 0: not given */
};

struct rules {
	struct list people_set, host_set;
	struct rule of[RULES];
	size_t count;
};

static struct list random_list(bool members, bool hosts)
{
	struct list l = {.count = 1 + rnd(2)};

	for (size_t i = 0; i < l.count; i++) {
		static const enum kind any[] = {ANY, ANY, PERSON, PERSON, GROUP, KEY, MACHINE, NET,
						PEOPLE_SET, HOST_SET};
		struct selector *s = &l.of[i];

		do
			s->kind = any[rnd(COUNT(any))];
		while (members && (s->kind == ANY || s->kind > NET || (s->kind == NET && !hosts)));
		s->n = rnd(s->kind == PERSON || s->kind == MACHINE ? 4 : 2);
	}
	return l;
}

static void random_rules(struct rules *r)
{
	static const uint32_t caps[] = {0,
					POLICY_SSH_SHELL,
					POLICY_SSH_EXEC,
					POLICY_SSH_SFTP,
					POLICY_SSH_FORWARD,
					POLICY_SSH_SHELL | POLICY_SSH_FORWARD,
					POLICY_SSH_EXEC | POLICY_SSH_AGENT,
					POLICY_SSH_REMOTE_FORWARD,
					POLICY_SSH_SFTP | POLICY_SSH_FORWARD};

	memset(r, 0, sizeof(*r));
	r->people_set = random_list(true, false);
	r->host_set = random_list(true, true);
	r->count = 1 + rnd(RULES);
	for (size_t i = 0; i < r->count; i++) {
		struct rule *rule = &r->of[i];

		rule->from = random_list(false, false);
		rule->to = random_list(false, false);
		if (rnd(4) == 0)
			rule->via = random_list(false, false);
		rule->logins = 1u << rnd(COUNT(logins) + 1) | 1u << (rnd(3) ? 0 : rnd(COUNT(logins)));
		rule->caps = caps[rnd(COUNT(caps))];
		rule->auth = rnd(2) ? POLICY_SSH_AUTH_IDENTITY : 1u << rnd(5);
		rule->files_only = rnd(5) == 0;
		if (rule->files_only)
			rule->caps = POLICY_SSH_SFTP;
		else if (rnd(3) == 0 && (rule->caps == 0 || rule->caps & POLICY_SSH_SESSIONS))
			rule->command = 1 + rnd(COUNT(commands) - 1);
		rule->ended = rnd(6) == 0;
		rule->max_age = rnd(4) == 0 ? 600 * (1 + rnd(3)) : 0;
		rule->ttl = rnd(3) == 0 ? 60 * (1 + rnd(60)) : 0;
		rule->nets = rnd(4) == 0 ? 1 + rnd(3) : 0;
		if (rule->caps & POLICY_SSH_FORWARD && rnd(2))
			rule->destinations = 1 + rnd(7);
	}
}

/* ---- as text */

struct text {
	char data[16384];
	size_t len;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	t->len += (size_t)vsnprintf(t->data + t->len, sizeof(t->data) - t->len, fmt, ap);
	va_end(ap);
	assert_true(t->len < sizeof(t->data));
}

static void put_list(struct text *t, const struct list *l)
{
	put(t, "[");
	for (size_t i = 0; i < l->count; i++) {
		unsigned n = l->of[i].n;

		switch (l->of[i].kind) {
		case ANY:
			put(t, "\"*\"");
			break;
		case PERSON:
			put(t, "\"%s\"", people[n]);
			break;
		case GROUP:
			put(t, "\"group:%s\"", groups[n]);
			break;
		case KEY:
			put(t, "\"setup-key:k%u\"", n);
			break;
		case MACHINE:
			put(t, "\"peer:m%u\"", n);
			break;
		case NET:
			put(t, "\"100.64.%u.0/24\"", n);
			break;
		case PEOPLE_SET:
			put(t, "\"folk\"");
			break;
		case HOST_SET:
			put(t, "\"boxes\"");
			break;
		}
		put(t, ",");
	}
	put(t, "]");
}

static void put_mask(struct text *t, const char *key, unsigned mask, const char *const *names,
		     size_t count)
{
	put(t, ",\"%s\":[", key);
	for (size_t i = 0; i < count; i++)
		if (mask >> i & 1)
			put(t, "\"%s\",", names[i]);
	put(t, "]");
}

static void put_when(struct text *t, const struct rule *r)
{
	static const char *const nets[] = {"100.64.0.0/24", "100.64.1.0/24"};

	if (!r->ended && !r->nets)
		return;
	put(t, ",\"when\":{");
	put(t, "\"hours\":\"%s\",\"tz\":\"UTC\"", r->ended ? "01:00-02:00" : "22:00-23:00");
	if (r->nets)
		put_mask(t, "from_networks", r->nets, nets, 2);
	put(t, "}");
}

static void put_rule(struct text *t, const struct rule *r)
{
	static const char *const caps[] = {"shell",   "exec",		"sftp",
					   "forward", "remote-forward", "agent"};
	static const char *const auths[] = {"identity", "machine", "key", "banner", "token"};
	static const char *const names[] = {"deploy", "root", "u1", "u2", "bot", "="};

	put(t, "{\"from\":");
	put_list(t, &r->from);
	put(t, ",\"to\":");
	put_list(t, &r->to);
	if (r->via.count) {
		put(t, ",\"via\":");
		put_list(t, &r->via);
	}
	put_mask(t, "logins", r->logins, names, COUNT(names));
	if (r->files_only)
		put(t, ",\"files_only\":true");
	else if (r->caps)
		put_mask(t, "allow", r->caps, caps, COUNT(caps));
	put_mask(t, "auth", r->auth, auths, COUNT(auths));
	put_when(t, r);
	if (r->command) {
		put(t, ",\"force_command\":\"");
		for (const char *c = commands[r->command]; *c; c++)
			put(t, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
		put(t, "\"");
	}
	if (r->max_age)
		put(t, ",\"max_login_age\":%u", r->max_age);
	if (r->ttl)
		put(t, ",\"cert_ttl\":%u", r->ttl);
	if (r->destinations)
		put_mask(t, "destinations", r->destinations, destinations, COUNT(destinations));
	put(t, "},\n");
}

/* only: that rule alone; RULES: all. */
static struct policy *make_policy(const struct rules *r, size_t only)
{
	static struct text t;
	struct error err = {0};
	struct policy *p;

	t.len = 0;
	put(&t, "{\"workloads\":{\"bot\":{\"issuer\":\"https://ci\",\"claims\":{\"a\":\"b\"}}},\n"
		"\"groups\":{\"folk\":");
	put_list(&t, &r->people_set);
	put(&t, "},\"hosts\":{\"boxes\":");
	put_list(&t, &r->host_set);
	put(&t, "},\n\"ssh\":[");
	for (size_t i = 0; i < r->count; i++)
		if (only == RULES || only == i)
			put_rule(&t, &r->of[i]);
	put(&t, "]}");
	if (policy_parse("p", t.data, t.len, &p, &err))
		fail_msg("%s\n%s", err.text, t.data);
	return p;
}

/* ---- the model */

struct question {
	int person;	  /* -1: nobody */
	unsigned proven;  /* groups of the token */
	bool exact;	  /* and no others */
	int caller, via, target; /* via -1: directly */
	unsigned login;
	enum policy_ssh_proof proof;
	int64_t auth_time_s;
};

static bool machine_in(const struct rules *r, const struct list *l, int m)
{
	for (size_t i = 0; i < l->count; i++) {
		unsigned n = l->of[i].n;
		bool yes = false;

		if (l->of[i].kind == ANY)
			yes = true;
		if (l->of[i].kind == PERSON)
			yes = owners_of[m] >> n & 1;
		if (l->of[i].kind == GROUP)
			for (size_t j = 0; j < COUNT(people); j++)
				yes = yes || ((owners_of[m] >> j & 1) && (known_groups_of[j] >> n & 1));
		if (l->of[i].kind == KEY)
			yes = setup_key_of[m] == (int)n;
		if (l->of[i].kind == MACHINE)
			yes = m == (int)n;
		if (l->of[i].kind == NET)
			yes = m / 2 == (int)n;
		if (l->of[i].kind == PEOPLE_SET)
			yes = machine_in(r, &r->people_set, m);
		if (l->of[i].kind == HOST_SET)
			yes = machine_in(r, &r->host_set, m);
		if (yes)
			return true;
	}
	return false;
}

/* People are people; machines are the machine in front of them. */
static bool caller_in(const struct rules *r, const struct list *l, const struct question *q)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct selector *s = &l->of[i];
		const struct list one = {.of = {*s}, .count = 1};
		bool yes;

		if (s->kind == ANY)
			yes = q->person != 3; /* not the workload */
		else if (s->kind == PERSON)
			yes = q->person == (int)s->n;
		else if (s->kind == GROUP)
			yes = q->person >= 0 &&
			      ((q->proven | (q->exact ? 0 : known_groups_of[q->person])) >>
				       s->n &
			       1);
		else if (s->kind == PEOPLE_SET)
			yes = caller_in(r, &r->people_set, q);
		else
			yes = machine_in(r, &one, q->caller);
		if (yes)
			return true;
	}
	return false;
}

static bool own_name(const struct question *q)
{
	/* The local parts are "u1", "root" (never), "u2"; the workload has none. */
	return (q->person == 0 && q->login == 2) || (q->person == 2 && q->login == 3);
}

static bool fits(const struct rules *r, const struct rule *rule, const struct question *q)
{
	if (!(rule->logins >> q->login & 1) &&
	    !((rule->logins >> COUNT(logins) & 1) && own_name(q)))
		return false;
	if (!machine_in(r, &rule->to, q->target) || !caller_in(r, &rule->from, q) || rule->ended)
		return false;
	if (q->via >= 0 && !machine_in(r, &rule->via, q->via))
		return false;
	if (rule->nets && !(rule->nets >> (q->caller / 2) & 1))
		return false;
	if (q->proof == POLICY_SSH_PROOF_KEY && !(rule->auth & POLICY_SSH_AUTH_KEY))
		return false;
	if (q->proof == POLICY_SSH_PROOF_TOKEN && !(rule->auth & POLICY_SSH_AUTH_TOKEN))
		return false;
	if (q->proof == POLICY_SSH_PROOF_USUAL && q->person < 0 &&
	    !(rule->auth & POLICY_SSH_AUTH_MACHINE))
		return false;
	return !rule->max_age ||
	       (q->person >= 0 && q->auth_time_s > NOW - (int64_t)rule->max_age);
}

static uint32_t caps_of(const struct rule *rule)
{
	return rule->caps ? rule->caps : POLICY_SSH_SHELL | POLICY_SSH_EXEC | POLICY_SSH_SFTP;
}

struct answer {
	bool allowed, machine_auth, files_only;
	uint32_t caps;
	unsigned command;
	bool anywhere;
	unsigned destinations;
	int64_t age_end_s; /* 0: none */
};

static void model(const struct rules *r, const struct question *q, struct answer *a)
{
	bool counts[RULES] = {0}, free_session = false, plain_sftp = false;
	size_t command = RULES;

	memset(a, 0, sizeof(*a));
	for (size_t i = 0; i < r->count; i++) {
		counts[i] = fits(r, &r->of[i], q);
		if (counts[i] && r->of[i].command && command == RULES)
			command = i;
		if (counts[i] && !r->of[i].command && caps_of(&r->of[i]) & POLICY_SSH_SESSIONS)
			free_session = true;
	}
	for (size_t i = 0; i < r->count; i++) {
		const struct rule *rule = &r->of[i];
		uint32_t caps = caps_of(rule);
		int64_t end = rule->max_age ? q->auth_time_s + rule->max_age : 0;

		if (!counts[i] || (rule->command && (free_session || i != command)))
			continue;
		a->allowed = true;
		a->caps |= caps;
		a->machine_auth = a->machine_auth || rule->auth & POLICY_SSH_AUTH_MACHINE;
		if (caps & POLICY_SSH_SFTP)
			plain_sftp = plain_sftp || !rule->files_only;
		if (rule->command)
			a->command = rule->command;
		if (caps & POLICY_SSH_FORWARD) {
			a->anywhere = a->anywhere || !rule->destinations;
			a->destinations |= rule->destinations;
		}
		if (end && (!a->age_end_s || end < a->age_end_s))
			a->age_end_s = end;
	}
	a->files_only = a->caps & POLICY_SSH_SFTP && !plain_sftp;
}

/* ---- compared */

static void random_question(struct question *q)
{
	*q = (struct question){.person = (int)rnd(5) - 1,
			       .proven = rnd(4),
			       .exact = rnd(3) == 0,
			       .caller = (int)rnd(MACHINES),
			       .via = rnd(4) ? -1 : (int)rnd(MACHINES),
			       .target = (int)rnd(MACHINES),
			       .login = rnd(3) ? 0 : rnd(COUNT(logins)),
			       .proof = POLICY_SSH_PROOF_USUAL,
			       .auth_time_s = NOW - 1 - (int64_t)rnd(2400)};
	if (rnd(8) == 0)
		q->auth_time_s = rnd(2) ? 0 : NOW - 600;
	if (rnd(3) == 0)
		q->proof = q->person < 0 ? POLICY_SSH_PROOF_KEY : POLICY_SSH_PROOF_TOKEN;
	if (q->proof == POLICY_SSH_PROOF_KEY)
		q->proven = 0;
}

static void ask(const struct policy *p, const struct policy_world *w, const struct question *q,
		struct policy_ssh_decision *d)
{
	static const char *const ids[] = {"p_0", "p_1", "p_2", "p_3"};
	const char *proven[2];
	struct policy_ssh_query query = {
		.identity = q->person >= 0 ? people[q->person] : NULL,
		.groups = proven,
		.groups_exact = q->exact,
		.caller_peer = ids[q->caller],
		.via_peer = q->via >= 0 ? ids[q->via] : NULL,
		.target_peer = ids[q->target],
		.login = logins[q->login],
		.proof = q->proof,
		.auth_time_s = q->person >= 0 ? q->auth_time_s : 0,
		.now_s = NOW,
	};

	for (size_t i = 0; i < 2; i++)
		if (q->proven >> i & 1)
			proven[query.group_count++] = groups[i];
	policy_ssh_check(p, w, &query, d);
}

static bool reaches(const struct policy_ssh_decision *d, size_t place)
{
	if (!(d->caps & POLICY_SSH_FORWARD))
		return false;
	for (size_t i = 0; i < d->destination_count; i++)
		if (policy_destination_matches(d->destinations[i], places[place].host,
					       places[place].port))
			return true;
	return d->destination_count == 0;
}

static size_t allowed, refused, forced, confined, several;

static void compare(const struct rules *r, const struct question *q,
		    const struct policy_ssh_decision *d)
{
	struct answer a;

	model(r, q, &a);
	assert_int_equal(d->allowed, a.allowed);
	*(a.allowed ? &allowed : &refused) += 1;
	if (!a.allowed) {
		assert_true(d->reason[0] != '\0' && d->caps == 0 && d->cert_ttl_s == 0);
		return;
	}
	forced += a.command != 0;
	confined += a.files_only;
	assert_int_equal(d->caps, a.caps);
	assert_int_equal(d->files_only, a.files_only);
	assert_int_equal(d->machine_auth, a.machine_auth);
	assert_string_equal(d->force_command, commands[a.command]);
	for (size_t i = 0; i < COUNT(places); i++)
		assert_int_equal(reaches(d, i), a.caps & POLICY_SSH_FORWARD &&
							(a.anywhere || (i < 3 && a.destinations >> i & 1)));
	/* Hours end at 23:00 UTC the same day; NOW is 22:13:20. */
	assert_true(!a.age_end_s || (d->not_after_s && d->not_after_s <= a.age_end_s));
	assert_true(!d->not_after_s || d->not_after_s > NOW);
}

/* Every power that d gives is given by a rule of its own, to the same question. */
static void no_more_than_one(const struct rules *r, struct policy *const *alone,
			     const struct policy_world *w, const struct question *q,
			     const struct policy_ssh_decision *d)
{
	struct policy_ssh_decision one[RULES];
	uint32_t caps = 0, ttl_all = 0;
	bool plain_sftp = false, place[COUNT(places)] = {0};
	size_t yes = 0;

	for (size_t i = 0; i < r->count; i++) {
		bool session;

		ask(alone[i], w, q, &one[i]);
		if (!one[i].allowed)
			continue;
		yes++;
		session = (one[i].caps & POLICY_SSH_SESSIONS) != 0;
		/* A session with another command, or with one where d is free, is no witness. */
		if (session && strcmp(one[i].force_command, d->force_command) != 0)
			continue;
		caps |= one[i].caps;
		plain_sftp = plain_sftp ||
			     (one[i].caps & POLICY_SSH_SFTP && !one[i].files_only);
		for (size_t j = 0; j < COUNT(places); j++)
			place[j] = place[j] || reaches(&one[i], j);
		if ((d->caps & ~one[i].caps) == 0 && one[i].files_only <= d->files_only &&
		    one[i].cert_ttl_s > ttl_all)
			ttl_all = one[i].cert_ttl_s;
	}
	several += yes > 1;
	assert_int_equal(d->allowed, yes > 0);
	if (!d->allowed)
		return;
	assert_int_equal(d->caps & ~caps, 0);
	if (d->caps & POLICY_SSH_SFTP && !d->files_only)
		assert_true(plain_sftp);
	for (size_t j = 0; j < COUNT(places); j++)
		assert_true(!reaches(d, j) || place[j]);
	/* No certificate for all of it lives longer than a rule for all of it says; where there is
	 * no such rule, than any says. */
	if (ttl_all)
		assert_true(d->cert_ttl_s <= ttl_all);
	else
		for (size_t i = 0; i < r->count; i++)
			if (one[i].allowed && (one[i].caps & POLICY_SSH_SESSIONS) != 0 &&
			    strcmp(one[i].force_command, d->force_command) == 0)
				assert_true(d->cert_ttl_s <= one[i].cert_ttl_s);
}

static void test_model(void **state)
{
	struct policy_world *w = make_world();

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct policy *alone[RULES] = {0}, *all, *part;
		struct error err = {0};
		struct buffer slice;
		struct rules r;

		rng = seed * UINT64_C(0x9e3779b97f4a7c15);
		random_rules(&r);
		all = make_policy(&r, RULES);
		for (size_t i = 0; i < r.count; i++)
			alone[i] = make_policy(&r, i);
		buffer_init(&slice, POLICY_MAX_TEXT);
		assert_int_equal(policy_slice(all, w, "p_0", &slice), 0);
		assert_int_equal(policy_parse("slice", (const char *)slice.data, slice.len, &part,
					      &err),
				 0);
		for (int i = 0; i < 24; i++) {
			struct policy_ssh_decision d, sliced;
			struct question q;

			random_question(&q);
			if (rnd(2))
				q.target = 0;
			ask(all, w, &q, &d);
			compare(&r, &q, &d);
			no_more_than_one(&r, alone, w, &q, &d);
			if (q.target == 0) {
				ask(part, w, &q, &sliced);
				assert_memory_equal(&d, &sliced, sizeof(d));
			}
		}
		buffer_done(&slice);
		policy_free(part);
		policy_free(all);
		for (size_t i = 0; i < r.count; i++)
			policy_free(alone[i]);
	}
	policy_world_free(w);
	/* A model that is only ever asked about refusals proves little. */
	print_message("%zu allowed (%zu forced, %zu confined, %zu by several rules), %zu refused\n",
		      allowed, forced, confined, several, refused);
	assert_true(allowed > 5000 && refused > 5000 && forced > 500 && confined > 300 &&
		    several > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
