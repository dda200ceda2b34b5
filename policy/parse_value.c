/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of the policy file: keys, selector lists, ports, protocols, times and durations.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/parse.h"

int parse_fail(struct parse *ps, struct jsonc_pos pos, const char *fmt, ...)
{
	char sentence[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	return jsonc_error(ps->err, -EINVAL, ps->policy->file, pos, "%s", sentence);
}

int parse_nomem(struct parse *ps)
{
	return error_set(ps->err, -ENOMEM, "%s: not enough memory to read the policy",
			 ps->policy->file);
}

static int unknown_key(struct parse *ps, const struct jsonc_node *member,
		       const struct parse_key *keys, const char *what)
{
	const char *names[24];
	char shown[72];
	size_t n = 0;

	for (; keys[n].name && n < 24; n++)
		names[n] = keys[n].name;
	jsonc_show(member->key, shown);
	const char *near_name = model_near(member->key, names, n);
	if (near_name)
		return parse_fail(ps, member->key_pos, "%s has no key \"%s\"; did you mean \"%s\"?",
				  what, shown, near_name);
	return parse_fail(ps, member->key_pos, "%s has no key \"%s\"; remove it", what, shown);
}

int parse_object(struct parse *ps, const struct jsonc_node *object, const struct parse_key *keys,
		 const char *what, void *out)
{
	if (object->type != JSONC_OBJECT)
		return parse_fail(ps, object->pos, "%s is an object in { }, not %s", what,
				  jsonc_type_name(object->type));
	for (const struct jsonc_node *m = object->first; m; m = m->next) {
		const struct parse_key *key = keys;

		while (key->name && strcmp(key->name, m->key) != 0)
			key++;
		if (!key->name)
			return unknown_key(ps, m, keys, what);
		if (key->unenforced)
			return parse_fail(ps, m->key_pos,
					  "\"%s\" is not enforced by this version yet; remove it",
					  key->name);
		int rc = key->read(ps, m, out);
		if (rc)
			return rc;
	}
	return 0;
}

int parse_expect(struct parse *ps, const struct jsonc_node *node, enum jsonc_type type,
		 const char *what)
{
	if (node->type == type)
		return 0;
	return parse_fail(ps, node->pos, "%s is %s, not %s", what, jsonc_type_name(type),
			  jsonc_type_name(node->type));
}

bool parse_has(const struct jsonc_node *object, const char *key)
{
	for (const struct jsonc_node *m = object->first; m; m = m->next)
		if (strcmp(m->key, key) == 0)
			return true;
	return false;
}

int parse_missing(struct parse *ps, const struct jsonc_node *object, const char *key,
		  const char *what)
{
	if (parse_has(object, key))
		return 0;
	return parse_fail(ps, object->pos, "this %s has no \"%s\"", what, key);
}

int parse_atom(struct parse *ps, const struct jsonc_node *node, const char *text,
	       struct model_place place, struct model_atom *ret_atom)
{
	struct error local = {0};
	struct model_atom atom = {.pos = node->pos};
	int rc = model_parse_atom(ps->policy, text, place, &atom, &local);

	if (rc == -ENOMEM)
		return parse_nomem(ps);
	if (rc)
		return parse_fail(ps, node->pos, "%s", local.text);
	*ret_atom = atom;
	return 0;
}

int parse_list(struct parse *ps, const struct jsonc_node *node, struct model_place place,
	       struct model_list *ret_list)
{
	bool array = node->type == JSONC_ARRAY;
	size_t count = array ? node->count : 1;
	const struct jsonc_node *item = array ? node->first : node;

	if (!array && node->type != JSONC_STRING)
		return parse_fail(ps, node->pos, "\"%s\" is an array of strings, not %s", node->key,
				  jsonc_type_name(node->type));
	if (count == 0 && !place.member)
		return parse_fail(ps, node->pos, "\"%s\" is empty; write \"*\" for everyone",
				  node->key);
	ret_list->count = 0;
	ret_list->atoms = policy_arena_alloc(&ps->policy->arena, count, sizeof(*ret_list->atoms));
	if (!ret_list->atoms)
		return parse_nomem(ps);
	for (; item; item = array ? item->next : NULL) {
		int rc = parse_expect(ps, item, JSONC_STRING, "a selector");

		if (!rc)
			rc = parse_atom(ps, item, item->text, place,
					&ret_list->atoms[ret_list->count]);
		if (rc)
			return rc;
		ret_list->count++;
	}
	return 0;
}

/* Decimal 1 to 65535 at *text, moved behind it. */
static bool port_number(const char **text, uint16_t *ret_port)
{
	uint32_t value = 0;
	const char *c = *text;

	for (; *c >= '0' && *c <= '9' && value <= UINT16_MAX; c++)
		value = value * 10 + (uint32_t)(*c - '0');
	if (c == *text || **text == '0' || value == 0 || value > UINT16_MAX)
		return false;
	*text = c;
	*ret_port = (uint16_t)value;
	return true;
}

struct port_list {
	struct model_interval *items;
	size_t count, cap;
};

static int port_add(struct parse *ps, struct port_list *list, uint16_t first, uint16_t last)
{
	if (list->count == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 16;
		struct model_interval *bigger = reallocarray(list->items, cap, sizeof(*bigger));

		if (!bigger)
			return parse_nomem(ps);
		list->items = bigger;
		list->cap = cap;
	}
	list->items[list->count++] = (struct model_interval){first, last};
	return 0;
}

static int port_text(struct parse *ps, const struct jsonc_node *node, struct port_list *list)
{
	const char *c = node->text;
	struct jsonc_pos pos = node->pos;

	for (;;) {
		uint16_t first = 0, last = 0;

		while (*c == ' ')
			c++;
		pos.col = node->pos.col + 1 + (uint32_t)(c - node->text);
		if (!port_number(&c, &first))
			return parse_fail(ps, pos,
					  "a port is a number from 1 to 65535; write \"22\", "
					  "\"22,80\" or \"8000-8100\"");
		last = first;
		if (*c == '-') {
			c++;
			if (!port_number(&c, &last))
				return parse_fail(ps, pos,
						  "a range of ports is written \"8000-8100\"");
			if (last < first)
				return parse_fail(
					ps, pos,
					"this range of ports runs backwards; write \"%u-%u\"", last,
					first);
		}
		int rc = port_add(ps, list, first, last);
		if (rc)
			return rc;
		while (*c == ' ')
			c++;
		if (!*c)
			return 0;
		pos.col = node->pos.col + 1 + (uint32_t)(c - node->text);
		if (*c++ != ',')
			return parse_fail(ps, pos, "ports are separated by commas");
	}
}

static int port_node(struct parse *ps, const struct jsonc_node *node, struct port_list *list)
{
	if (node->type == JSONC_STRING)
		return port_text(ps, node, list);
	if (node->type != JSONC_INTEGER)
		return parse_fail(ps, node->pos, "a port is a number or a string, not %s",
				  jsonc_type_name(node->type));
	if (node->integer < 1 || node->integer > UINT16_MAX)
		return parse_fail(ps, node->pos, "a port is a number from 1 to 65535");
	return port_add(ps, list, (uint16_t)node->integer, (uint16_t)node->integer);
}

static int compare_intervals(const void *a, const void *b)
{
	const struct model_interval *x = a, *y = b;

	return x->first != y->first ? (x->first < y->first ? -1 : 1) : (int)x->last - (int)y->last;
}

int parse_ports(struct parse *ps, const struct jsonc_node *node, struct model_ports *ret_ports)
{
	struct port_list list = {0};
	size_t n = 0;
	int rc = 0;

	if (node->type == JSONC_ARRAY) {
		if (!node->count)
			return parse_fail(ps, node->pos,
					  "\"ports\" is empty; remove it for all ports");
		for (const struct jsonc_node *item = node->first; item && !rc; item = item->next)
			rc = port_node(ps, item, &list);
	} else {
		rc = port_node(ps, node, &list);
	}
	if (!rc && list.items) {
		qsort(list.items, list.count, sizeof(*list.items), compare_intervals);
		for (size_t i = 1; i < list.count; i++) {
			if (list.items[i].first <= (uint32_t)list.items[n].last + 1) {
				if (list.items[i].last > list.items[n].last)
					list.items[n].last = list.items[i].last;
			} else {
				list.items[++n] = list.items[i];
			}
		}
		n++;
		ret_ports->intervals =
			policy_arena_alloc(&ps->policy->arena, n, sizeof(*list.items));
		if (ret_ports->intervals)
			memcpy(ret_ports->intervals, list.items, n * sizeof(*list.items));
		else
			rc = parse_nomem(ps);
		ret_ports->count = n;
	}
	free(list.items);
	return rc;
}

int parse_proto(struct parse *ps, const struct jsonc_node *node, uint8_t *ret_proto)
{
	static const struct {
		const char *name;
		enum policy_proto proto;
	} protos[] = {
		{"any", POLICY_PROTO_ANY},
		{"icmp", POLICY_PROTO_ICMP},
		{"tcp", POLICY_PROTO_TCP},
		{"udp", POLICY_PROTO_UDP},
	};
	char shown[72];
	int rc = parse_expect(ps, node, JSONC_STRING, "\"proto\"");

	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof(protos) / sizeof(protos[0]); i++)
		if (strcmp(protos[i].name, node->text) == 0) {
			*ret_proto = (uint8_t)protos[i].proto;
			return 0;
		}
	return parse_fail(ps, node->pos, "\"%s\" is no protocol; write tcp, udp, icmp or any",
			  jsonc_show(node->text, shown));
}

int parse_duration(struct parse *ps, const struct jsonc_node *node, uint32_t min_s, uint32_t max_s,
		   uint32_t *ret_s)
{
	static const char units[] = "smhd";
	static const uint32_t seconds[] = {1, 60, 3600, 86400};
	int64_t value = -1;

	if (node->type == JSONC_INTEGER) {
		value = node->integer;
	} else if (node->type == JSONC_STRING) {
		const char *c = node->text, *unit;
		uint32_t n = 0;

		for (; *c >= '0' && *c <= '9' && n < 100000000; c++)
			n = n * 10 + (uint32_t)(*c - '0');
		unit = *c ? strchr(units, *c) : NULL;
		if (c != node->text && unit && !c[1])
			value = (int64_t)n * seconds[unit - units];
	}
	if (value < 0)
		return parse_fail(
			ps, node->pos,
			"\"%s\" is a time in seconds, or \"90s\", \"30m\", \"8h\", \"7d\"",
			node->key);
	if (value < min_s || value > max_s)
		return parse_fail(ps, node->pos, "\"%s\" is %u to %u seconds", node->key, min_s,
				  max_s);
	*ret_s = (uint32_t)value;
	return 0;
}

static bool digits(const char *text, size_t at, size_t count, int *ret_value)
{
	int value = 0;

	for (size_t i = at; i < at + count; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (text[i] - '0');
	}
	*ret_value = value;
	return true;
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar. */
static int64_t days_from_civil(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400, yoe = y - era * 400;
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

#define LAST_SECOND INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* RFC 3339 section 5.6, without leap seconds; years 1970 to 9999. */
int model_parse_time(const char *text, int64_t *ret_s)
{
	static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year, month, day, hour, minute, second, zone_h = 0, zone_m = 0, sign = 0;
	size_t at = 19;

	if (strnlen(text, 64) < 20 || strnlen(text, 64) > 40 || text[4] != '-' || text[7] != '-' ||
	    (text[10] != 'T' && text[10] != 't') || text[13] != ':' || text[16] != ':' ||
	    !digits(text, 0, 4, &year) || !digits(text, 5, 2, &month) ||
	    !digits(text, 8, 2, &day) || !digits(text, 11, 2, &hour) ||
	    !digits(text, 14, 2, &minute) || !digits(text, 17, 2, &second))
		return -EINVAL;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (year < 1970 || month < 1 || month > 12 || day < 1 ||
	    day > month_days[month - 1] + (month == 2 && leap) || hour > 23 || minute > 59 ||
	    second > 59)
		return -EINVAL;
	if (text[at] == '.') {
		at++;
		if (text[at] < '0' || text[at] > '9')
			return -EINVAL;
		while (text[at] >= '0' && text[at] <= '9')
			at++;
	}
	if (text[at] == '+' || text[at] == '-') {
		sign = text[at] == '+' ? 1 : -1;
		if (strlen(text + at) != 6 || text[at + 3] != ':' ||
		    !digits(text, at + 1, 2, &zone_h) || !digits(text, at + 4, 2, &zone_m) ||
		    zone_h > 23 || zone_m > 59)
			return -EINVAL;
	} else if ((text[at] != 'Z' && text[at] != 'z') || text[at + 1]) {
		return -EINVAL;
	}
	*ret_s = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second -
		 sign * (zone_h * 3600 + zone_m * 60);
	/* The offset must not lead out of the years that can be written. */
	return *ret_s < 0 || *ret_s > LAST_SECOND ? -EINVAL : 0;
}

int policy_parse_time(const char *text, int64_t *ret_s)
{
	return model_parse_time(text, ret_s);
}

int parse_time(struct parse *ps, const struct jsonc_node *node, const char *name, int64_t *ret_s)
{
	char quoted[40];
	int64_t when;
	int rc;

	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", name);
	rc = parse_expect(ps, node, JSONC_STRING, quoted);
	if (rc)
		return rc;
	if (model_parse_time(node->text, &when) || when <= 0)
		return parse_fail(ps, node->pos, "%s is a time like \"2027-01-01T00:00:00Z\"",
				  quoted);
	*ret_s = when;
	return 0;
}

int parse_force_command(struct parse *ps, const struct jsonc_node *node, const char **ret_command)
{
	int rc = parse_expect(ps, node, JSONC_STRING, "\"force_command\"");

	if (rc)
		return rc;
	if (strlen(node->text) >= POLICY_SSH_COMMAND_SIZE)
		return parse_fail(ps, node->pos,
				  "\"force_command\" has at most %d bytes; put more into a script",
				  POLICY_SSH_COMMAND_SIZE - 1);
	for (const char *c = node->text; *c; c++)
		if ((uint8_t)*c < 0x20 || *c == 0x7f ||
		    ((uint8_t)c[0] == 0xc2 && (uint8_t)c[1] < 0xa0)) /* U+0080 to U+009F */
			return parse_fail(ps, node->pos,
					  "\"force_command\" is one line without control "
					  "characters; put more into a script");
	*ret_command = node->text;
	return 0;
}

/* What "when" is read into. */
struct reading {
	struct when *when;
	struct model_list *networks;
};

static int read_not_after(struct parse *ps, const struct jsonc_node *node, void *out)
{
	return parse_time(ps, node, "not_after", &((struct reading *)out)->when->not_after_s);
}

static int read_hours(struct parse *ps, const struct jsonc_node *node, void *out)
{
	bool list = node->type == JSONC_ARRAY;
	struct when *w = ((struct reading *)out)->when;
	char shown[72];
	int rc = 0;

	if (list && (node->count == 0 || node->count > WHEN_MAX_HOURS))
		return parse_fail(ps, node->pos, "write 1 to %d \"hours\"", WHEN_MAX_HOURS);
	for (const struct jsonc_node *n = list ? node->first : node; n && !rc;
	     n = list ? n->next : NULL) {
		rc = parse_expect(ps, n, JSONC_STRING, "\"hours\"");
		if (!rc && when_parse_hours(n->text, &w->hours[w->hour_count]))
			rc = parse_fail(ps, n->pos,
					"\"%s\" are no hours; write \"08:00-18:00\" or \"mon-fri "
					"08:00-18:00\"",
					jsonc_show(n->text, shown));
		if (!rc)
			w->hour_texts[w->hour_count++] = n->text;
	}
	return rc;
}

static int read_tz(struct parse *ps, const struct jsonc_node *node, void *out)
{
	struct when *w = ((struct reading *)out)->when;
	char shown[72];
	const char *known;
	int rc = parse_expect(ps, node, JSONC_STRING, "\"tz\"");

	if (rc)
		return rc;
	known = when_zone_of_name(node->text);
	w->tz = known ? known : node->text;
	if (when_parse_zone(w->tz, &w->zone))
		return parse_fail(
			ps, node->pos,
			"\"%s\" is no time zone; write \"Europe/Berlin\", \"+01:00\", \"UTC\" "
			"or \"CET-1CEST,M3.5.0,M10.5.0/3\"",
			jsonc_show(node->text, shown));
	return 0;
}

static int read_from_networks(struct parse *ps, const struct jsonc_node *node, void *out)
{
	struct model_list *networks = ((struct reading *)out)->networks;
	int rc = parse_list(ps, node, (struct model_place){0}, networks);

	for (size_t i = 0; i < networks->count && !rc; i++)
		if (networks->atoms[i].kind != MODEL_PREFIX)
			rc = parse_fail(ps, networks->atoms[i].pos,
					"\"from_networks\" are overlay addresses such as "
					"\"100.64.8.0/24\"; who is meant by name goes into \"from\"");
	return rc;
}

int parse_when(struct parse *ps, const struct jsonc_node *node, struct when *ret_when,
	       struct model_list *ret_networks)
{
	static const struct parse_key keys[] = {
		{.name = "not_after", .read = read_not_after},
		{.name = "hours", .read = read_hours},
		{.name = "tz", .read = read_tz},
		{.name = "from_networks", .read = read_from_networks},
		{.name = NULL},
	};
	struct reading reading = {.when = ret_when, .networks = ret_networks};
	int rc = parse_object(ps, node, keys, "\"when\"", &reading);

	if (!rc && ret_when->tz && !ret_when->hour_count)
		rc = parse_fail(ps, node->pos, "\"tz\" needs \"hours\"");
	if (!rc && ret_when->hour_count && !ret_when->tz)
		rc = parse_fail(ps, node->pos,
				"\"hours\" needs \"tz\": write whose clock counts, such as "
				"\"Europe/Berlin\"");
	return rc;
}
