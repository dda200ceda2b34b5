/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers and bounds of ssh/PROTOCOL.md sections 4 and 5: worker and verifier of one SSH
 * connection.
 */
#ifndef WARREN_SSH_MONITOR_WIRE_H
#define WARREN_SSH_MONITOR_WIRE_H

#include <stdint.h>

/* A command of what Linux takes as one argument (MAX_ARG_STRLEN, 131,072), and room for the rest. It
 * fits into a socket's buffer of default size. */
#define MONITOR_WIRE_MAX      (144 * 1024)
#define MONITOR_TOKEN_MAX     16384 /* a JWT as password */
#define MONITOR_WIRE_TERM     256 /* with its end */
#define MONITOR_WIRE_ENV_MAX  128 /* as sshd takes */
#define MONITOR_WIRE_ENV_NAME 256 /* with their ends */
#define MONITOR_WIRE_ENV_TEXT 4096
#define MONITOR_WIRE_HOST     256 /* of forwards, with its end */
#define MONITOR_WIRE_ACCEPTED 0x80000000u /* numbers of channels that the monitor makes: from here on */
#define MONITOR_WIRE_SESSIONS 256 /* hard limit over max_sessions */

enum monitor_wire_fd {
	WORKER_FD_CONNECTION = 3,
	WORKER_FD_MONITOR = 4,
	WORKER_FD_ROOT = 5, /* with uid and gid in the arguments */
};

enum monitor_wire_request {
	MONITOR_HELLO = 1,
	MONITOR_SIGN = 2,
	MONITOR_AUTH_NONE = 3,
	MONITOR_AUTH_QUERY = 4,
	MONITOR_AUTH_KEY = 5,
	MONITOR_AUTH_INTERACTIVE = 6,
	MONITOR_AUTH_CANCEL = 7,
	MONITOR_SESSION = 8,
	MONITOR_SIGNAL = 9,
	MONITOR_CLOSE = 10,
	MONITOR_CONNECT = 11,
	MONITOR_LISTEN = 12,
	MONITOR_UNLISTEN = 13,
	MONITOR_BYTES = 14,
	MONITOR_USER = 15,
	MONITOR_LIMITS = 16,
	MONITOR_FORWARD = 17,
	MONITOR_NO_MORE_SESSIONS = 18,
	MONITOR_AUTH_PASSWORD = 19,
	/* events */
	MONITOR_INTERACTIVE_DONE = 40,
	MONITOR_EXIT = 41,
	MONITOR_CONNECTED = 42,
	MONITOR_ACCEPTED = 43,
	MONITOR_END = 44,
	MONITOR_AGENT = 45,
	MONITOR_BANNER = 46,
};

enum monitor_wire_result {
	MONITOR_YES = 0,
	MONITOR_NO = 1,
	MONITOR_PENDING = 2,
	MONITOR_PARTIAL = 3,
};

enum monitor_wire_forward {
	MONITOR_FORWARD_CONNECT = 0,
	MONITOR_FORWARD_LISTEN = 1,
	MONITOR_FORWARD_AGENT = 2,
};

enum monitor_wire_kind { MONITOR_SHELL = 0, MONITOR_EXEC = 1, MONITOR_SUBSYSTEM = 2 };

enum verifier_wire_request {
	VERIFIER_OBJECT = 1,
	VERIFIER_CERT = 2,
	VERIFIER_GRANT = 3,
	VERIFIER_MACHINE = 4,
	VERIFIER_AGAIN = 5,
	VERIFIER_KEY = 6,
	VERIFIER_BANNER = 7,
	VERIFIER_REVOKED = 8,
	VERIFIER_ISSUERS = 20,
	VERIFIER_TOKEN = 21,
};

#endif
