/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of sshd_config(5): numbers, times, lists of algorithms, HOST:PORT.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ssh/config/sshd_config_internal.h"

#define ANY_PORT UINT32_MAX

int sshd_value_number(const char *text, uint32_t low, uint32_t high, uint32_t *ret)
{
	uint64_t n = 0;

	if (text[0] == '\0' || strlen(text) > 10)
		return -EINVAL;
	for (const char *p = text; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	if (n < low || n > high)
		return -ERANGE;
	*ret = (uint32_t)n;
	return 0;
}

/* convtime(3) of OpenSSH. */
int sshd_value_time(const char *text, uint32_t *ret_s)
{
	uint64_t total = 0;
	const char *p = text;

	if (*p == '\0')
		return -EINVAL;
	while (*p != '\0') {
		uint64_t n = 0, unit = 1;
		const char *digits = p;

		while (*p >= '0' && *p <= '9' && n <= INT32_MAX)
			n = n * 10 + (uint64_t)(*p++ - '0');
		if (p == digits || n > INT32_MAX)
			return -EINVAL;
		switch (*p) {
		case '\0':
			break;
		case 's':
		case 'S':
			p++;
			break;
		case 'm':
		case 'M':
			unit = 60;
			p++;
			break;
		case 'h':
		case 'H':
			unit = 3600;
			p++;
			break;
		case 'd':
		case 'D':
			unit = 86400;
			p++;
			break;
		case 'w':
		case 'W':
			unit = 7 * 86400;
			p++;
			break;
		default:
			return -EINVAL;
		}
		total += n * unit;
		if (total > INT32_MAX)
			return -ERANGE;
	}
	*ret_s = (uint32_t)total;
	return 0;
}

/* Why a name that OpenSSH knows is no name here. */
static const char *weakness(const char *name)
{
	if (strcmp(name, "none") == 0)
		return "would be no protection at all";
	if (strstr(name, "cbc") != NULL || strstr(name, "3des") != NULL ||
	    strstr(name, "arcfour") != NULL || strstr(name, "blowfish") != NULL ||
	    strstr(name, "cast128") != NULL)
		return "is weak and not offered";
	if (strstr(name, "md5") != NULL || strstr(name, "ripemd") != NULL ||
	    strstr(name, "sha1") != NULL || strcmp(name, "ssh-rsa") == 0 ||
	    strcmp(name, "ssh-dss") == 0 || strncmp(name, "ssh-rsa-cert", 12) == 0 ||
	    strncmp(name, "ssh-dss-cert", 12) == 0)
		return "stands on SHA-1 or MD5 and is not offered";
	if (strncmp(name, "umac-64", 7) == 0)
		return "is too short and not offered";
	return "is not one that this server has";
}

static bool is_pattern(const char *text)
{
	return strpbrk(text, "*?") != NULL;
}

static int append(char *out, const char *name)
{
	size_t len = strlen(out), more = strlen(name);

	if (sshd_listed(out, name))
		return 0;
	if (len + more + 2 > SSHD_ALGORITHMS_MAX)
		return -EMSGSIZE;
	if (len > 0)
		out[len++] = ',';
	memcpy(out + len, name, more + 1);
	return 0;
}

static bool take_part(const char **at, char one[static 128])
{
	size_t len;

	if (*at == NULL)
		return false;
	len = strcspn(*at, ",");
	snprintf(one, 128, "%.*s", (int)(len < 127 ? len : 127), *at);
	*at = (*at)[len] == ',' ? *at + len + 1 : NULL;
	return true;
}

/* All of `all` whose names the pattern covers. */
static int append_matching(char *out, const char *all, const char *pattern)
{
	char one[128];
	int r = 0;

	while (r == 0 && take_part(&all, one))
		if (sshd_pattern(one, strlen(one), pattern, strlen(pattern)))
			r = append(out, one);
	return r;
}

static int check_names(const struct sshd_keyword *k, const char *list, const char *all,
		       bool patterns, struct error *err)
{
	char one[128];

	while (take_part(&list, one)) {
		if (patterns && is_pattern(one))
			continue;
		if (!sshd_listed(all, one))
			return error_set(err, -EINVAL, "%s: %s %s; there are %.340s", k->name,
					 one[0] != '\0' ? one : "an empty name", weakness(one),
					 all);
	}
	return 0;
}

int sshd_value_algorithms(const struct sshd_keyword *k, const char *text, char *out,
			  struct error *err)
{
	const char *const *lists = k->more; /* the default, and all that there are */
	const char *standard = lists[0], *all = lists[1];
	char sign = text[0], one[128];
	const char *names = sign == '+' || sign == '-' || sign == '^' ? text + 1 : text;
	const char *at = names;
	int r = check_names(k, names, all, names != text, err);

	if (r < 0)
		return r;
	out[0] = '\0';
	if (sign == '+')
		r = append_matching(out, standard, "*");
	if (sign == '-') { /* what is left of the default */
		for (at = standard; r == 0 && take_part(&at, one);)
			if (sshd_pattern_list(one, names, false) == 0)
				r = append(out, one);
	} else {
		while (r == 0 && take_part(&at, one))
			r = append_matching(out, all, one);
		if (r == 0 && sign == '^')
			r = append_matching(out, standard, "*");
	}
	if (r < 0)
		return error_set(err, r, "%s: the list is too long", k->name);
	return out[0] != '\0' ? 0 : error_set(err, -EINVAL, "%s: nothing is left", k->name);
}

int sshd_value_add(struct sshd_words *w, const struct sshd_line *l, struct error *err)
{
	if (w->count + l->count > SSHD_WORDS_MAX)
		return error_set(err, -E2BIG, "%s: more than %d values", l->keyword->name,
				 SSHD_WORDS_MAX);
	for (size_t i = 0; i < l->count; i++) {
		bool known = false;

		for (size_t n = 0; n < w->count; n++)
			known = known || strcmp(w->word[n], l->words[i]) == 0;
		if (!known)
			w->word[w->count++] = l->words[i];
	}
	return 0;
}

bool sshd_value_bare_v6(const char *word)
{
	const char *colon = strchr(word, '[') == NULL ? strchr(word, ':') : NULL;

	return colon != NULL && strchr(colon + 1, ':') != NULL;
}

int sshd_value_permit(const char *word, bool bare, char host[static 256], size_t *ret_host_len,
		      uint32_t *ret_port)
{
	const char *colon = strrchr(word, ':'), *begin = word;
	const char *port = colon != NULL ? colon + 1 : word;
	size_t len = colon != NULL ? (size_t)(colon - word) : 0;

	if (colon == NULL && !bare)
		return -EINVAL;
	if (len >= 2 && word[0] == '[' && word[len - 1] == ']') {
		begin++;
		len -= 2;
	} else if (memchr(word, ':', len) != NULL) {
		return -EINVAL; /* is the last part a port? */
	}
	if (colon == NULL) {
		begin = "*";
		len = 1;
	}
	if (len == 0 || len >= 256)
		return -EINVAL;
	memcpy(host, begin, len);
	host[len] = '\0';
	*ret_host_len = len;
	if (strcmp(port, "*") == 0)
		*ret_port = ANY_PORT;
	else if (sshd_value_number(port, 1, 65535, ret_port) < 0)
		return -EINVAL;
	return 0;
}

/* As sshd: PermitOpen compares names as they are, PermitListen knows patterns. */
static bool host_permitted(bool listen, const char *host, const char *want)
{
	if (listen)
		return sshd_pattern_list(want, host, true) == 1;
	return strcmp(host, "*") == 0 || strcmp(host, want) == 0;
}

static bool permitted(const struct sshd_words *w, bool listen, const char *want, uint16_t want_port)
{
	char host[256];
	uint32_t port;
	size_t len;

	if (w->count == 0 || strcmp(w->word[0], "any") == 0)
		return true;
	for (size_t i = 0; i < w->count; i++)
		if (sshd_value_permit(w->word[i], listen, host, &len, &port) == 0 &&
		    (port == ANY_PORT || port == want_port) && host_permitted(listen, host, want))
			return true;
	return false; /* "none" permits nothing */
}

bool sshd_may_open(const struct sshd_options *o, const char *host, uint16_t port)
{
	return permitted(&o->permit_open, false, host, port);
}

bool sshd_may_listen(const struct sshd_options *o, const char *address, uint16_t port)
{
	return permitted(&o->permit_listen, true, address, port);
}
