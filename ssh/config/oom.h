/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel's choice when memory is short: a listener is the last to go, a session is as others
 * (OpenSSH's oom_adjust_setup).
 */
#ifndef WARREN_SSH_CONFIG_OOM_H
#define WARREN_SSH_CONFIG_OOM_H

/* Remembers what was set before. Without the right to do it nothing changes. */
void oom_protect(void);
/* In a child: as it was before. Only calls that are safe between fork and exec. */
void oom_restore(void);

#endif
