/* SPDX-License-Identifier: Apache-2.0
 *
 * A login that stands, judged again: a new object of the control server's, or the moment that the
 * verifier named. What is no longer allowed ends.
 */
#include <stdio.h>
#include <string.h>

#include "ssh/monitor.h"

/* What is in use of what the login may no longer do. */
static bool narrowed(const struct monitor *m, const struct verifier_decision *d)
{
	uint32_t used = forward_caps_used(m);

	for (size_t i = 0; i < MONITOR_WIRE_SESSIONS; i++) {
		if (!m->sessions[i].used)
			continue;
		used |= m->sessions[i].cap;
		/* Not what policy wants run now. */
		if (d->force_command[0] != '\0' &&
		    strcmp(d->force_command, m->decision.force_command) != 0)
			return true;
		if (d->files_only && m->sessions[i].cap == POLICY_SSH_SFTP &&
		    !m->sessions[i].confined)
			return true;
	}
	return (used & m->decision.caps & ~d->caps) != 0 || !forward_destinations_allowed(m, d);
}

void monitor_auth_again(struct monitor *m)
{
	struct verifier_decision d = {0};
	char text[300];

	if (m->state != MONITOR_OPEN)
		return;
	if (verifier_again(m->verifier, monitor_now_s(), &d) < 0) {
		monitor_end(m, "access was withdrawn: the login can no longer be verified");
		return;
	}
	monitor_keys_restrict(m, &d);
	monitor_options_restrict(m, &d);
	if (!d.allowed) {
		snprintf(text, sizeof(text), "access was withdrawn: %s", d.message);
		monitor_end(m, text);
		return;
	}
	/* What is in use and no longer allowed ends; simplest and surest with the whole connection.
	 */
	if (narrowed(m, &d)) {
		monitor_end(m, "access was narrowed by policy: connect again");
		return;
	}
	m->decision = d;
}
