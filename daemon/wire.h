/* SPDX-License-Identifier: Apache-2.0
 *
 * Message numbers and bounds of daemon/PROTOCOL.md, sections 1 to 3: what broker, main and engine say
 * to one another. Each reads with platform/buffer.h and closes the socket on anything else.
 */
#ifndef WARREN_DAEMON_WIRE_H
#define WARREN_DAEMON_WIRE_H

#include "platform/addr.h"
#include "platform/buffer.h"

#define DAEMON_MAX_MESSAGE 60000

enum daemon_message {
	/* main to broker; answered with WIRE_REPLY and the same request id */
	WIRE_CONFIGURE = 1,
	WIRE_TEARDOWN = 2,
	WIRE_USER_DIR = 3,
	WIRE_SSH_OBJECT = 4,
	WIRE_PIN = 5,
	WIRE_SESSION_END = 6,
	WIRE_FORGET = 7,
	WIRE_SSH_NAMES = 8,
	WIRE_REPLY = 16, /* u8 0 ok / 1 failed, string sentence, fields */
	/* broker to main */
	WIRE_SWITCHES = 32,
	WIRE_CONTROL = 33,
	WIRE_MONITOR = 34,
	WIRE_SESSION = 35,
	WIRE_LINK = 36,
	/* main and engine */
	WIRE_UAPI = 64,
	WIRE_UAPI_REPLY = 65,
	WIRE_POLICY = 66,
	WIRE_POLICY_REPLY = 67,
	WIRE_SEND = 68,
	WIRE_STATS = 69,
	WIRE_STATS_REPLY = 70,
	WIRE_UP = 71,
	WIRE_DATAGRAM = 80,
	WIRE_EVENT = 81,
	/* broker to engine */
	WIRE_ATTACH = 96,
	WIRE_DETACH = 97,
	WIRE_MAIN = 98,
	WIRE_SSH = 99,
	WIRE_SOURCES = 100,
	WIRE_STEER = 101,
	WIRE_MTU = 102,
};

enum wire_attach { WIRE_ATTACH_TUN = 0, WIRE_ATTACH_SSH_TUN = 1, WIRE_ATTACH_UDP = 2 };
enum wire_ssh_mode { WIRE_SSH_OFF = 0, WIRE_SSH_NAMESPACE = 1, WIRE_SSH_HOST = 2 };

/* Descriptors inherited by the roles. */
enum wire_fd {
	WIRE_FD_BROKER = 3,
	WIRE_FD_ENGINE = 4,
	WIRE_FD_IPC = 5,
	WIRE_FD_STATE = 6,
	WIRE_FD_OPTIONS = 7,
};

/* u8 type, u32 request id. */
void wire_begin(struct writer *w, uint8_t type, uint32_t id);
void wire_put_endpoint(struct writer *w, const struct endpoint *ep);
void wire_get_endpoint(struct reader *r, struct endpoint *ret_endpoint);

#endif
