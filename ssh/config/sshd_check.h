/* SPDX-License-Identifier: Apache-2.0
 *
 * What a configuration names: files, folders and programs are looked at when it is read, not when
 * somebody needs them. Findings are sentences with file and line. An error keeps the configuration
 * from being put in force; a warning does not.
 */
#ifndef WARREN_SSH_CONFIG_SSHD_CHECK_H
#define WARREN_SSH_CONFIG_SSHD_CHECK_H

#include "ssh/config/sshd_config.h"

#define SSHD_FINDINGS_MAX  32
#define SSHD_BANNER_MAX	   8192 /* bytes of a Banner */

/* Zeroed at first. More than fit are counted, not kept; an error is kept rather than a warning. */
struct sshd_findings {
	size_t count, errors; /* count: of list */
	struct {
		bool error;
		char text[512];
	} list[SSHD_FINDINGS_MAX];
};

/* at NULL: no line says so. */
void sshd_finding(struct sshd_findings *f, bool error, const struct sshd_place *at, const char *fmt,
		  ...) WARREN_PRINTF(4, 5);
/* Banner, ForceCommand, Subsystem, AuthorizedKeysFile and PidFile. mesh: RevokedKeys, too, and the
 * keywords that are for `warren sshd` alone; without, who starts it looks at those (ssh/sshd_force.c). */
void sshd_check(const struct sshd_config *c, bool mesh, struct sshd_findings *f);
/* 0, or the first error and how many there are. */
int sshd_findings_error(const struct sshd_findings *f, struct error *err) WARREN_MUST_USE;
/* The warnings, into the log. */
void sshd_findings_log(const struct sshd_findings *f);

#endif
