/* SPDX-License-Identifier: Apache-2.0
 *
 * The style sheet and the mark of the pages (pages.c). Light and dark by the reader's setting, one
 * column that fits a phone.
 */
#ifndef WARREN_CONTROL_PAGES_STYLE_H
#define WARREN_CONTROL_PAGES_STYLE_H

extern const char pages_style[];
extern const char pages_mark[]; /* an SVG, inline */

#endif
