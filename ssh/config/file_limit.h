/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors: a listener holds one for each connection and takes as many as it may have; a session
 * starts with what the listener started with, as under sshd.
 */
#ifndef WARREN_SSH_CONFIG_FILE_LIMIT_H
#define WARREN_SSH_CONFIG_FILE_LIMIT_H

/* Raises the soft limit to the hard one and remembers what it was. */
void file_limit_raise(void);
/* In a child: as it was before. Only calls that are safe between fork and exec. */
void file_limit_restore(void);

#endif
