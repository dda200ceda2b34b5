/* SPDX-License-Identifier: Apache-2.0
 *
 * The verifier role. Everything that could be wrong in the object is wrong in here, where there is
 * nothing to take: no files, no network, no rights, a second of CPU.
 */
#include "daemon/verifier.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity/signed.h"
#include "platform/buffer.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/json.h"
#include "platform/log.h"
#include "platform/sandbox.h"
#include "platform/user.h"

enum {
	CPU_SECONDS = 5,
	MEMORY_BYTES = 1 << 30,
	MAX_FILES = 16,
	SKEW_S = 60,
};

static_assert(sizeof(struct verifier_request) == 32 + 32 + 32 + 8, "no padding");
static_assert(sizeof(struct verifier_answer) == 4 + 4 + 8 + 8 + 232, "no padding");

static const char *const calls[] = {"read", "write", "pread64", "lseek", "fstat", "close", NULL};
static const char *const refused[] = {"open", "openat", "access", "newfstatat", "readlink", NULL};

static void refuse(struct verifier_answer *answer, const char *sentence)
{
	size_t at = 0;

	answer->ok = 0;
	for (; sentence[at] && at + 1 < sizeof(answer->sentence); at++)
		answer->sentence[at] =
			sentence[at] >= ' ' && sentence[at] <= '~' ? sentence[at] : '?';
}

static int check(const struct verifier_request *request, const json_t *payload,
		 struct verifier_answer *answer, struct error *err)
{
	char network[sizeof(request->network)], peer[sizeof(request->peer_id)];
	int64_t seq, until, version;
	bool enabled;
	int rc;

	rc = json_get_int(payload, "v", 1, 1, &version, err);
	if (rc == 0)
		rc = json_get_string(payload, "network", network, sizeof(network), err);
	if (rc == 0)
		rc = json_get_string(payload, "peer", peer, sizeof(peer), err);
	if (rc == 0)
		rc = json_get_int(payload, "seq", 0, INT64_MAX, &seq, err);
	if (rc == 0)
		rc = json_get_int(payload, "valid_until", 1, INT64_MAX, &until, err);
	if (rc == 0)
		rc = json_get_bool(payload, "enabled", &enabled, err);
	if (rc < 0)
		return rc;
	if (strcmp(network, request->network) != 0)
		return error_set(err, -EPERM, "the SSH permissions are of another network");
	if (strcmp(peer, request->peer_id) != 0)
		return error_set(err, -EPERM, "the SSH permissions are of another machine");
	if ((uint64_t)seq < request->min_seq)
		return error_set(
			err, -EPERM,
			"the SSH permissions (number %lld) are older than ones already seen "
			"(%llu)",
			(long long)seq, (unsigned long long)request->min_seq);
	answer->ok = 1;
	answer->enabled = enabled;
	answer->seq = (uint64_t)seq;
	answer->valid_until = (uint64_t)until;
	return 0;
}

void verifier_judge(const struct verifier_request *request, const char *text, size_t len,
		    int64_t now_s, struct verifier_answer *ret_answer)
{
	struct verifier_answer answer = {.magic = VERIFIER_MAGIC};
	struct error err = {0};
	json_t *payload = signed_open(text, len, "ssh", request->signing_key, now_s, SKEW_S, &err);

	if (!payload || check(request, payload, &answer, &err) < 0)
		refuse(&answer, error_text(&err));
	json_decref(payload);
	*ret_answer = answer;
}

bool verifier_answer_valid(const struct verifier_answer *answer)
{
	size_t len = strnlen(answer->sentence, sizeof(answer->sentence));

	if (answer->magic != VERIFIER_MAGIC || answer->ok > 1 || answer->enabled > 1 ||
	    answer->zero[0] || answer->zero[1] || answer->seq > INT64_MAX ||
	    len == sizeof(answer->sentence))
		return false;
	for (size_t i = 0; i < len; i++)
		if (answer->sentence[i] < ' ' || answer->sentence[i] > '~')
			return false;
	return true;
}

static int give_up_privileges(struct error *err)
{
	static const struct sandbox_profile profile = {
		.name = "verifier", .allow = calls, .eacces = refused};
	const struct rlimit cpu = {CPU_SECONDS, CPU_SECONDS};
#ifndef WARREN_SANITIZE
	const struct rlimit memory = {MEMORY_BYTES, MEMORY_BYTES};
#endif
	bool found;
	uid_t uid;
	gid_t gid;
	int rc;

	user_service_account("warren-verifier", &uid, &gid, &found);
	rc = sandbox_empty_root();
	if (rc < 0 && geteuid() == 0)
		log_warn("the verifier keeps the root folder it was started in", "error=%s",
			 strerror(-rc));
	if (geteuid() == 0) {
		rc = user_drop_privileges(uid, gid);
		if (rc < 0)
			return error_set(err, rc, "cannot give up root: %s", strerror(-rc));
	}
	rc = sandbox_limits(MAX_FILES, 1, 0); /* the log may be a file */
	if (rc == 0 && setrlimit(RLIMIT_CPU, &cpu) < 0)
		rc = -errno;
#ifndef WARREN_SANITIZE
	if (rc == 0 && setrlimit(RLIMIT_AS, &memory) < 0)
		rc = -errno;
#endif
	if (rc < 0)
		return error_set(err, rc, "cannot set limits: %s", strerror(-rc));
	return sandbox_apply(&profile, err);
}

int verifier_run(void)
{
	struct verifier_request request;
	struct verifier_answer answer;
	struct error err = {0};
	struct buffer text;
	uint32_t seed;
	int rc;

	/* jansson would open /dev/urandom for its hash tables. */
	random_bytes(&random_system, &seed, sizeof(seed));
	json_object_seed(seed | 1);
	rc = give_up_privileges(&err);
	if (rc < 0) {
		log_error(error_text(&err), NULL);
		return 1;
	}
	buffer_init(&text, SIGNED_MAX_BYTES);
	if (pread(VERIFIER_FD_REQUEST, &request, sizeof(request), 0) != sizeof(request) ||
	    file_read_fd(VERIFIER_FD_OBJECT, &text) < 0) {
		buffer_done(&text);
		return 1;
	}
	request.network[sizeof(request.network) - 1] = '\0';
	request.peer_id[sizeof(request.peer_id) - 1] = '\0';
	verifier_judge(&request, (const char *)text.data, text.len, clock_realtime_s(&clock_system),
		       &answer);
	buffer_done(&text);
	/* Nothing in here is worth the calls of an orderly exit. */
	_exit(write(VERIFIER_FD_ANSWER, &answer, sizeof(answer)) == sizeof(answer) ? 0 : 1);
}
