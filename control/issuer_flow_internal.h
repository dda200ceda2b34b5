/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of issuer_flow.c and issuer_device.c. A place whose until_s is 0 was never used; one whose
 * time is over is free.
 */
#ifndef WARREN_CONTROL_ISSUER_FLOW_INTERNAL_H
#define WARREN_CONTROL_ISSUER_FLOW_INTERNAL_H

#include "control/issuer_flow.h"
#include "control/issuer_throttle.h"

#define FLOW_SESSIONS	  1024
#define FLOW_INTERACTIONS 512
#define FLOW_CODES	  512
#define FLOW_DEVICES	  1024
#define FLOW_PER_SOURCE	  32
#define FLOW_SOURCE_SIZE  64

struct flow_session {
	uint8_t hash[32];
	struct issuer_person person;
	int64_t until_s;
};

struct flow_interaction {
	char id[ISSUER_INTERACTION_ID_SIZE];
	uint8_t browser[32];
	char source[FLOW_SOURCE_SIZE];
	struct issuer_interaction what;
	int64_t until_s;
};

struct flow_code {
	uint8_t hash[32];
	struct issuer_request request;
	struct issuer_person person;
	char family[ISSUER_FAMILY_SIZE];
	bool taken;
	int64_t until_s;
};

enum device_state { DEVICE_WAITING, DEVICE_ALLOWED, DEVICE_REFUSED };

struct flow_device {
	uint8_t hash[32]; /* of the device code */
	char user_code[ISSUER_USER_CODE_SIZE];
	char source[FLOW_SOURCE_SIZE];
	struct issuer_device_request request;
	struct issuer_person person;
	enum device_state state;
	unsigned interval_s;
	uint64_t polled_ns; /* monotonic; 0: never */
	int64_t until_s;
};

struct issuer_flow {
	const struct clock *clock;
	const struct random_source *random;
	struct flow_session sessions[FLOW_SESSIONS];
	struct flow_interaction interactions[FLOW_INTERACTIONS];
	struct flow_code codes[FLOW_CODES];
	struct flow_device devices[FLOW_DEVICES];
};

int64_t issuer_flow_now(const struct issuer_flow *f);

#endif
