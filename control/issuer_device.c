/* SPDX-License-Identifier: Apache-2.0
 *
 * Device codes (RFC 8628): opened by a client, decided by a person, polled until then. A code that
 * is over stays for a while, so that its client hears "expired_token" and not that it is unknown.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/issuer_flow_internal.h"
#include "platform/secret.h"

#define REMEMBER_S   300
#define TOLERANCE_NS (500 * NSEC_PER_MSEC) /* timers and networks are not exact */

static bool is_free(const struct flow_device *d, int64_t now_s)
{
	return d->until_s + REMEMBER_S <= now_s;
}

/* User codes are unique among those that wait. */
static bool user_code_in_use(const struct issuer_flow *f, const char *user_code, int64_t now_s)
{
	for (size_t i = 0; i < FLOW_DEVICES; i++) {
		if (!is_free(&f->devices[i], now_s) &&
		    strcmp(f->devices[i].user_code, user_code) == 0)
			return true;
	}
	return false;
}

int issuer_flow_device_open(struct issuer_flow *f, const struct issuer_device_request *request,
			    char ret_device_code[static PAGES_TOKEN_SIZE],
			    char ret_user_code[static ISSUER_USER_CODE_SIZE])
{
	char key[FLOW_SOURCE_SIZE], user_code[ISSUER_USER_CODE_SIZE];
	struct flow_device *place = NULL;
	size_t waiting = 0;
	int64_t now = issuer_flow_now(f);

	issuer_throttle_source("d", &request->source, key, sizeof(key));
	for (size_t i = 0; i < FLOW_DEVICES; i++) {
		struct flow_device *d = &f->devices[i];
		/* One that is over may go early when nothing else is left. */
		if (is_free(d, now) ||
		    (d->until_s <= now && (place == NULL || d->until_s < place->until_s)))
			place = place != NULL && is_free(place, now) ? place : d;
		else if (d->until_s > now && d->state == DEVICE_WAITING &&
			 strcmp(d->source, key) == 0)
			waiting++;
	}
	if (place == NULL || waiting >= FLOW_PER_SOURCE)
		return -EBUSY;
	do {
		issuer_oauth_user_code(f->random, user_code);
	} while (user_code_in_use(f, user_code, now));

	memset(place, 0, sizeof(*place));
	pages_token(f->random, ret_device_code);
	pages_hash(ret_device_code, place->hash);
	memcpy(place->user_code, user_code, sizeof(user_code));
	snprintf(place->source, sizeof(place->source), "%s", key);
	place->request = *request;
	place->request.created_s = now;
	place->interval_s = ISSUER_DEVICE_POLL_S;
	place->until_s = now + ISSUER_DEVICE_S;
	memcpy(ret_user_code, user_code, sizeof(user_code));
	return 0;
}

static struct flow_device *waiting_device(struct issuer_flow *f, const char *user_code)
{
	int64_t now = issuer_flow_now(f);
	for (size_t i = 0; i < FLOW_DEVICES; i++) {
		struct flow_device *d = &f->devices[i];
		if (d->until_s > now && d->state == DEVICE_WAITING &&
		    strcmp(d->user_code, user_code) == 0)
			return d;
	}
	return NULL;
}

const struct issuer_device_request *issuer_flow_device(struct issuer_flow *f, const char *user_code)
{
	const struct flow_device *d = waiting_device(f, user_code);
	return d != NULL ? &d->request : NULL;
}

int issuer_flow_device_allow(struct issuer_flow *f, const char *user_code,
			     const struct issuer_person *person)
{
	struct flow_device *d = waiting_device(f, user_code);
	if (d == NULL)
		return -ENOENT;
	d->person = *person;
	d->state = DEVICE_ALLOWED;
	return 0;
}

int issuer_flow_device_refuse(struct issuer_flow *f, const char *user_code)
{
	struct flow_device *d = waiting_device(f, user_code);
	if (d == NULL)
		return -ENOENT;
	d->state = DEVICE_REFUSED;
	return 0;
}

enum issuer_poll issuer_flow_device_poll(struct issuer_flow *f, const char *device_code,
					 const char *client_id,
					 struct issuer_device_request *ret_request,
					 struct issuer_person *ret_person)
{
	uint8_t hash[32];
	int64_t now = issuer_flow_now(f);
	uint64_t now_ns = clock_monotonic_ns(f->clock);
	struct flow_device *d = NULL;
	bool early;

	pages_hash(device_code, hash);
	for (size_t i = 0; i < FLOW_DEVICES && d == NULL; i++) {
		if (!is_free(&f->devices[i], now) &&
		    secret_equal(f->devices[i].hash, hash, sizeof(hash)))
			d = &f->devices[i];
	}
	if (d == NULL || strcmp(d->request.client->id, client_id) != 0)
		return ISSUER_POLL_UNKNOWN;
	if (d->until_s <= now)
		return ISSUER_POLL_EXPIRED;
	early = d->polled_ns != 0 &&
		now_ns - d->polled_ns + TOLERANCE_NS < d->interval_s * NSEC_PER_SEC;
	d->polled_ns = now_ns;
	if (early) {
		d->interval_s += ISSUER_SLOW_DOWN_S;
		return ISSUER_POLL_SLOW_DOWN;
	}
	if (d->state == DEVICE_WAITING)
		return ISSUER_POLL_PENDING;
	if (d->state == DEVICE_REFUSED)
		return ISSUER_POLL_DENIED;
	*ret_request = d->request;
	*ret_person = d->person;
	secret_wipe(d, sizeof(*d));
	return ISSUER_POLL_OK;
}
