/* SPDX-License-Identifier: Apache-2.0
 *
 * warren audit verify | show | tail: the audit log of this machine (platform/audit_chain.h). Reads the
 * files themselves, so root or whoever was given them; needs no daemon.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "platform/audit_log.h"
#include "platform/file.h"
#include "platform/json.h"

#define AUDIT_USAGE                                                                                \
	"audit verify [--dir DIR | FILE…] [--seen SEQ:HASH]\n"                                     \
	"       warren audit show|tail [--dir DIR | FILE…] [--identity WHO] [--login NAME]\n"         \
	"              [--event EVENT] [--connection N] [--since WHEN] [--until WHEN] [-n COUNT] [-f]"
#define DEFAULT_DIR "/var/lib/warren/root"
#define PARTS_MAX   64
#define TAIL_COUNT  20
#define AGAIN_US    100000

struct filter {
	const char *identity, *login, *event;
	int64_t connection; /* -1: any */
	char since[32], until[32];
	uint64_t count; /* the last so many; 0: all */
	bool follow;
};

struct audit {
	const struct cli *cli;
	const char *dir;
	const char *given[PARTS_MAX];
	size_t given_count;
	struct audit_chain_point seen; /* --seen; seq 0: none */
	struct filter filter;
};

/* The files in the order of their records. */
struct parts {
	char path[PARTS_MAX][400];
	size_t count;
};

static void find_parts(const struct audit *a, struct parts *p)
{
	p->count = 0;
	if (a->given_count > 0) {
		for (; p->count < a->given_count; p->count++)
			snprintf(p->path[p->count], sizeof(p->path[0]), "%s", a->given[p->count]);
		return;
	}
	for (unsigned i = PARTS_MAX - 1; i > 0; i--) {
		snprintf(p->path[p->count], sizeof(p->path[0]), "%s/" AUDIT_LOG_NAME ".%u", a->dir,
			 i);
		p->count += access(p->path[p->count], F_OK) == 0;
	}
	snprintf(p->path[p->count++], sizeof(p->path[0]), "%s/" AUDIT_LOG_NAME, a->dir);
}

/* on_line: 0 goes on, anything else ends and is returned. line has no newline. */
typedef int (*line_fn)(void *ctx, const char *line, size_t len);

struct lines {
	FILE *file;
	char *text;
	size_t cap;
	uint64_t number;
	bool torn; /* ends without a newline */
};

static int each_line(struct lines *l, line_fn on_line, void *ctx)
{
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = getline(&l->text, &l->cap, l->file)) > 0) {
		l->torn = l->text[n - 1] != '\n';
		if (l->torn)
			break;
		l->number++;
		r = on_line(ctx, l->text, (size_t)n - 1);
	}
	if (r == 0 && ferror(l->file))
		r = -EIO;
	return r;
}

static void lines_done(struct lines *l)
{
	if (l->file)
		fclose(l->file);
	free(l->text);
}

/* ------------------------------------------------------------------ verify */

struct verification {
	struct audit_chain_check check;
	struct audit_chain_point head;
	bool has_head;
	char at_head[AUDIT_CHAIN_HEX + 1], at_seen[AUDIT_CHAIN_HEX + 1]; /* "": not come to */
	const struct audit *audit;
	const char *file;
	uint64_t line;
	struct error err;
};

static int verify_line(void *ctx, const char *line, size_t len)
{
	struct verification *v = ctx;
	int r = audit_chain_check_line(&v->check, line, len, &v->err);

	if (r == 0 && v->has_head && v->check.last.seq == v->head.seq)
		memcpy(v->at_head, v->check.last.hash, sizeof(v->at_head));
	if (r == 0 && v->check.last.seq == v->audit->seen.seq)
		memcpy(v->at_seen, v->check.last.hash, sizeof(v->at_seen));
	return r;
}

static int verify_file(struct verification *v, const char *path)
{
	struct lines l = {.file = fopen(path, "re")};
	int r;

	v->file = path;
	v->line = 0;
	if (!l.file)
		return error_set(&v->err, -errno, "cannot open it: %s%s", strerror(errno),
				 errno == EACCES ? " (run it as root)" : "");
	r = each_line(&l, verify_line, v);
	v->line = l.number;
	if (r == 0 && l.torn) {
		v->line++;
		r = error_set(&v->err, -EBADMSG, "it ends in the middle of a record");
	} else if (r == -EIO) {
		r = error_set(&v->err, r, "cannot read it");
	}
	lines_done(&l);
	return r;
}

/* Before the log is read: it only grows. */
static int read_head(struct verification *v, uint64_t *ret_first)
{
	struct buffer text;
	char path[400];
	int r;

	*ret_first = 0;
	snprintf(path, sizeof(path), "%s/" AUDIT_LOG_HEAD, v->audit->dir);
	buffer_init(&text, 1024);
	r = file_read(path, &text);
	if (r == 0)
		r = audit_chain_head_get((const char *)text.data, text.len, &v->head, ret_first,
					 &v->err);
	else
		error_set(&v->err, r, "%s cannot be read (%s): whether the end of the log was cut "
				      "off cannot be known",
			  path, strerror(-r));
	buffer_done(&text);
	v->has_head = r == 0;
	v->line = 0;
	return r;
}

static int check_ends(struct verification *v, uint64_t first)
{
	const struct audit_chain_point *seen = &v->audit->seen;
	int r = 0;

	v->line = 0;
	if (v->has_head)
		r = audit_chain_check_head(&v->check, &v->head, v->at_head[0] ? v->at_head : NULL,
					   &v->err);
	if (r == 0 && v->has_head && first != 0 && v->check.first_seq > first)
		r = error_set(&v->err, -EBADMSG,
			      "the log begins with record %llu, and record %llu was kept",
			      (unsigned long long)v->check.first_seq, (unsigned long long)first);
	if (r == 0 && seen->seq != 0)
		r = audit_chain_check_head(&v->check, seen, v->at_seen[0] ? v->at_seen : NULL,
					   &v->err);
	return r;
}

static int verify_once(const struct audit *a, const struct parts *p, struct verification *v)
{
	bool whole = a->given_count == 0;
	uint64_t first = 0;
	int r = 0, head_rc = 0;

	memset(v, 0, sizeof(*v));
	v->audit = a;
	v->file = p->path[p->count - 1];
	audit_chain_check_init(&v->check, false);
	if (whole)
		head_rc = read_head(v, &first);
	if (head_rc < 0 && head_rc != -ENOENT)
		return head_rc;
	for (size_t i = 0; r == 0 && i < p->count; i++)
		r = verify_file(v, p->path[i]);
	if (r == 0)
		r = check_ends(v, first);
	/* Records without a head: somebody took it away. */
	return r == 0 && head_rc < 0 ? head_rc : r;
}

static void print_verified(const struct audit *a, const struct verification *v, int r)
{
	json_t *out;

	if (!a->cli->json && r == 0) {
		printf("good: %llu records, number %llu to %llu\nlast: %llu:%s\n",
		       (unsigned long long)v->check.records,
		       (unsigned long long)v->check.first_seq,
		       (unsigned long long)v->check.last.seq, (unsigned long long)v->check.last.seq,
		       v->check.last.hash);
		return;
	}
	if (!a->cli->json) {
		if (v->line > 0)
			fprintf(stderr, "%s:%llu: %s\n", v->file, (unsigned long long)v->line,
				error_text(&v->err));
		else
			fprintf(stderr, "%s: %s\n", v->file, error_text(&v->err));
		return;
	}
	out = json_pack("{s:b,s:I,s:I,s:I,s:s}", "good", r == 0, "records",
			(json_int_t)v->check.records, "first", (json_int_t)v->check.first_seq,
			"last", (json_int_t)v->check.last.seq, "hash", v->check.last.hash);
	if (out && r < 0) {
		json_object_set_new(out, "file", json_string(v->file));
		json_object_set_new(out, "line", json_integer((json_int_t)v->line));
		json_object_set_new(out, "message", json_string(error_text(&v->err)));
	}
	if (out)
		cli_print_json(out);
	json_decref(out);
}

static int audit_verify(const struct audit *a)
{
	struct verification v;
	struct parts p;
	int r;

	find_parts(a, &p);
	r = verify_once(a, &p, &v);
	if (r < 0) { /* a record may have been half written, or a new part begun */
		usleep(AGAIN_US);
		find_parts(a, &p);
		r = verify_once(a, &p, &v);
	}
	print_verified(a, &v, r);
	return r < 0 ? WARREN_EXIT_FAILED : WARREN_EXIT_OK;
}

/* ------------------------------------------------------------------ show */

static bool is(const json_t *record, const char *key, const char *wanted)
{
	const char *value = json_string_value(json_object_get(record, key));

	return wanted == NULL || (value != NULL && strcasecmp(value, wanted) == 0);
}

/* "ssh.login" stands for "ssh.login.refused", too. */
static bool is_event(const json_t *record, const char *wanted)
{
	const char *value = json_string_value(json_object_get(record, "event"));
	size_t len = wanted ? strlen(wanted) : 0;

	return wanted == NULL || (value != NULL && strncmp(value, wanted, len) == 0 &&
				  (value[len] == '\0' || value[len] == '.'));
}

static bool wanted(const struct filter *f, const json_t *record)
{
	const char *when = json_string_value(json_object_get(record, "time"));
	const json_t *connection = json_object_get(record, "connection");

	return when != NULL && is(record, "identity", f->identity) &&
	       is(record, "login", f->login) && is_event(record, f->event) &&
	       (f->connection < 0 || json_integer_value(connection) == f->connection) &&
	       (f->since[0] == '\0' || strcmp(when, f->since) >= 0) &&
	       (f->until[0] == '\0' || strcmp(when, f->until) < 0);
}

/* Nothing that a terminal would act on: the texts come from others. */
static void print_value(const json_t *value)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "._-/@:+,=[]";
	const char *text = json_string_value(value);
	char *quoted;

	if (text != NULL && text[0] != '\0' && text[strspn(text, plain)] == '\0') {
		fputs(text, stdout);
		return;
	}
	quoted = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT);
	for (char *p = quoted; p != NULL && *p != '\0'; p++)
		if (*p == 0x7f)
			*p = '?';
	fputs(quoted != NULL ? quoted : "?", stdout);
	free(quoted);
}

static void print_record(const struct cli *c, json_t *record, const char *line)
{
	const char *key;
	json_t *value;

	if (c->json) {
		puts(line);
		return;
	}
	printf("%s ", json_string_value(json_object_get(record, "time")));
	print_value(json_object_get(record, "event"));
	json_object_foreach(record, key, value)
	{
		if (strcmp(key, "time") == 0 || strcmp(key, "event") == 0 ||
		    strcmp(key, "prev") == 0 || strcmp(key, "hash") == 0 || strcmp(key, "seq") == 0)
			continue;
		printf(" %s=", key);
		print_value(value);
	}
	putchar('\n');
}

/* The last `count` lines that are wanted, or all at once. */
struct show {
	const struct audit *audit;
	char **kept;
	uint64_t seen;
};

static int show_line(void *ctx, const char *line, size_t len)
{
	struct show *s = ctx;
	const struct filter *f = &s->audit->filter;
	json_t *record = json_load_strict(line, len, AUDIT_CHAIN_LINE_MAX, NULL);
	uint64_t slot;

	if (record != NULL && wanted(f, record)) {
		if (s->kept == NULL) {
			print_record(s->audit->cli, record, line);
		} else {
			slot = s->seen++ % f->count;
			free(s->kept[slot]);
			s->kept[slot] = strndup(line, len);
		}
	}
	json_decref(record);
	return 0;
}

static void print_kept(struct show *s)
{
	uint64_t count = s->audit->filter.count;
	uint64_t from = s->seen > count ? s->seen - count : 0;

	for (uint64_t i = from; i < s->seen; i++) {
		char *line = s->kept[i % count];
		json_t *record =
			line ? json_load_strict(line, strlen(line), AUDIT_CHAIN_LINE_MAX, NULL)
			     : NULL;

		if (record != NULL)
			print_record(s->audit->cli, record, line);
		json_decref(record);
		free(line);
	}
	free((void *)s->kept);
	s->kept = NULL;
}

static bool same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

/* New lines as they come; another file of that name is gone over to. */
static int follow(struct show *s, struct lines *l, const char *path)
{
	fflush(stdout);
	while (!ferror(stdout)) {
		off_t at = ftello(l->file);
		FILE *next;

		usleep(5 * AGAIN_US);
		clearerr(l->file);
		if (fseeko(l->file, at, SEEK_SET) < 0 || each_line(l, show_line, s) < 0)
			return -EIO;
		if (l->torn && fseeko(l->file, at, SEEK_SET) < 0)
			return -EIO;
		fflush(stdout);
		if (access(path, F_OK) < 0)
			continue;
		next = fopen(path, "re");
		if (next != NULL && !same_file(fileno(next), fileno(l->file))) {
			fclose(l->file);
			l->file = next;
		} else if (next != NULL) {
			fclose(next);
		}
	}
	return 0;
}

static int audit_show(struct audit *a)
{
	struct show s = {.audit = a};
	struct parts p;
	int r = 0;

	find_parts(a, &p);
	if (a->filter.count > 0) {
		s.kept = calloc(a->filter.count, sizeof(*s.kept));
		if (s.kept == NULL)
			return cli_fail(a->cli, WARREN_EXIT_FAILED, "out of memory");
	}
	for (size_t i = 0; r == 0 && i < p.count; i++) {
		struct lines l = {.file = fopen(p.path[i], "re")};

		if (!l.file) {
			r = -errno;
			cli_fail(a->cli, WARREN_EXIT_FAILED, "cannot open %s: %s%s", p.path[i],
				 strerror(-r), r == -EACCES ? " (run it as root)" : "");
			break;
		}
		r = each_line(&l, show_line, &s);
		if (r == 0 && i + 1 == p.count && s.kept != NULL)
			print_kept(&s);
		if (r == 0 && i + 1 == p.count && a->filter.follow)
			r = follow(&s, &l, p.path[i]);
		lines_done(&l);
	}
	if (s.kept != NULL)
		print_kept(&s);
	return r < 0 ? WARREN_EXIT_FAILED : WARREN_EXIT_OK;
}

/* ------------------------------------------------------------------ options */

/* RFC 3339 in UTC as it stands in the log, a date, or how long ago: "30m", "2h", "7d". */
static int parse_when(const char *text, char out[static 32])
{
	static const struct {
		char unit;
		long seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	char *end = NULL;
	long n;
	struct tm tm;
	time_t when;

	if (strlen(text) >= 10 && text[4] == '-' && text[7] == '-' && strlen(text) < 32 &&
	    text[strspn(text, "0123456789-:T.Z")] == '\0') {
		snprintf(out, 32, "%s", text);
		return 0;
	}
	errno = 0;
	n = strtol(text, &end, 10);
	if (errno != 0 || end == text || n < 0 || n > 1000000 || *end == '\0' || end[1] != '\0')
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].unit != *end)
			continue;
		when = time(NULL) - n * units[i].seconds;
		if (gmtime_r(&when, &tm) == NULL ||
		    strftime(out, 32, "%Y-%m-%dT%H:%M:%S.000Z", &tm) == 0)
			return -EINVAL;
		return 0;
	}
	return -EINVAL;
}

static int parse_number(const char *text, int64_t max, int64_t *ret_value)
{
	char *end = NULL;

	errno = 0;
	*ret_value = strtoll(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *ret_value <= max
		       ? 0
		       : -EINVAL;
}

/* "SEQ:HASH" as verify prints it. */
static int parse_seen(const char *text, struct audit_chain_point *p)
{
	const char *colon = strchr(text, ':');
	char number[24];
	int64_t seq;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(number) ||
	    strlen(colon + 1) != AUDIT_CHAIN_HEX)
		return -EINVAL;
	memcpy(number, text, (size_t)(colon - text));
	number[colon - text] = '\0';
	if (parse_number(number, INT64_MAX, &seq) < 0 || seq == 0)
		return -EINVAL;
	p->seq = (uint64_t)seq;
	memcpy(p->hash, colon + 1, AUDIT_CHAIN_HEX + 1);
	return 0;
}

/* 1: it was one of these. */
static int show_option(struct filter *f, char **argv, int *i)
{
	const char *value = NULL;
	int64_t number;

	if (strcmp(argv[*i], "-f") == 0 || strcmp(argv[*i], "--follow") == 0) {
		f->follow = true;
		return 1;
	}
	if (cli_option(argv, i, "--identity", &f->identity) ||
	    cli_option(argv, i, "--login", &f->login) || cli_option(argv, i, "--event", &f->event))
		return 1;
	if (cli_option(argv, i, "--since", &value))
		return value != NULL && parse_when(value, f->since) == 0 ? 1 : -EINVAL;
	if (cli_option(argv, i, "--until", &value))
		return value != NULL && parse_when(value, f->until) == 0 ? 1 : -EINVAL;
	if (cli_option(argv, i, "--connection", &value)) {
		if (value == NULL || parse_number(value, UINT32_MAX, &f->connection) < 0)
			return -EINVAL;
		return 1;
	}
	if (cli_option(argv, i, "-n", &value)) {
		if (value == NULL || parse_number(value, 1000000, &number) < 0)
			return -EINVAL;
		f->count = (uint64_t)number;
		return 1;
	}
	return 0;
}

static int parse(struct audit *a, int argc, char **argv)
{
	bool verify = strcmp(argv[1], "verify") == 0;

	for (int i = 2; i < argc; i++) {
		const char *value = NULL;
		int r;

		if (cli_option(argv, &i, "--dir", &value)) {
			if (value == NULL)
				return -EINVAL;
			a->dir = value;
			continue;
		}
		if (verify && cli_option(argv, &i, "--seen", &value)) {
			if (value == NULL || parse_seen(value, &a->seen) < 0)
				return -EINVAL;
			continue;
		}
		r = verify ? 0 : show_option(&a->filter, argv, &i);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (argv[i][0] == '-' || a->given_count == PARTS_MAX)
			return -EINVAL;
		a->given[a->given_count++] = argv[i];
	}
	return 0;
}

int cli_audit(const struct cli *c, int argc, char **argv)
{
	struct audit a = {.cli = c, .dir = DEFAULT_DIR, .filter = {.connection = -1}};

	if (argc < 2)
		return cli_usage(AUDIT_USAGE);
	if (strcmp(argv[1], "tail") == 0)
		a.filter.count = TAIL_COUNT;
	else if (strcmp(argv[1], "show") != 0 && strcmp(argv[1], "verify") != 0)
		return cli_usage(AUDIT_USAGE);
	if (parse(&a, argc, argv) < 0)
		return cli_usage(AUDIT_USAGE);
	return strcmp(argv[1], "verify") == 0 ? audit_verify(&a) : audit_show(&a);
}
