/* SPDX-License-Identifier: Apache-2.0
 *
 * A mark on the first packet of an SSH connection inside the mesh: "a certificate was fetched for
 * this one". The server then does not hold `none` open for a login (policy's "auth": "banner"). A
 * hint and nothing more: nobody is let in by it.
 */
#ifndef WARREN_PLATFORM_DSCP_H
#define WARREN_PLATFORM_DSCP_H

#define DSCP_CERTIFICATE_TOS 0x2c /* code point 11, of those for local use (RFC 2474 section 6) */
#define DSCP_MASK	     0xfc /* the rest is ECN's */

#endif
