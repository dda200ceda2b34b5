/* SPDX-License-Identifier: Apache-2.0
 *
 * Look of the pages. Kept as one literal so that its hash in the Content-Security-Policy is the
 * hash of what is sent.
 */
#include "control/pages_style.h"

const char pages_style[] =
	":root{color-scheme:light dark;--ground:#f4f2ee;--card:#fff;--ink:#22201c;--soft:#6b665d;"
	"--line:#e2ded6;--accent:#2f6b4f;--on:#fff;--warn:#8a4b12;--warnbg:#fdf3e3}\n"
	"@media(prefers-color-scheme:dark){:root{--ground:#191815;--card:#23211d;--ink:#eeebe4;"
	"--soft:#a49d91;--line:#3a372f;--accent:#7fc4a0;--on:#14251c;--warn:#f0c58b;--warnbg:#"
	"33291a}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;"
	"background:var(--ground);color:var(--ink);padding:1rem;"
	"font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}\n"
	"main{width:100%;max-width:26rem;background:var(--card);border:1px solid var(--line);"
	"border-radius:14px;padding:1.75rem 1.75rem 2rem;box-shadow:0 1px 2px #0000000a,"
	"0 8px 24px #0000000d}\n"
	".brand{display:flex;align-items:center;gap:.5rem;margin:0 0 1.25rem;font-weight:600;"
	"letter-spacing:.01em;color:var(--soft)}\n"
	".brand svg{width:1.5rem;height:1.5rem;color:var(--accent)}\n"
	"h1{font-size:1.35rem;line-height:1.3;margin:0 0 .75rem;font-weight:650;"
	"overflow-wrap:anywhere}\n"
	"p{margin:.5rem 0 1rem;overflow-wrap:anywhere}\n"
	".note{color:var(--soft);font-size:.9rem}\n"
	".warn{color:var(--warn);background:var(--warnbg);border-radius:8px;padding:.6rem .8rem;"
	"font-size:.93rem}\n"
	"dl{margin:1rem 0;border-top:1px solid var(--line)}\n"
	"dl div{display:flex;gap:1rem;padding:.55rem 0;border-bottom:1px solid var(--line)}\n"
	"dt{flex:0 0 6.5rem;color:var(--soft)}\n"
	"dd{margin:0;font-weight:550;overflow-wrap:anywhere}\n"
	"label{display:block;margin:.9rem 0 .3rem;font-size:.9rem;color:var(--soft)}\n"
	"input:not([type=hidden]){width:100%;font:inherit;color:inherit;background:transparent;"
	"border:1px solid var(--line);border-radius:9px;padding:.65rem .8rem}\n"
	"input:focus-visible,button:focus-visible{outline:3px solid var(--accent);"
	"outline-offset:2px}\n"
	"input.code{font:600 1.4rem/1.2 ui-monospace,'DejaVu Sans Mono',monospace;"
	"letter-spacing:.14em;text-align:center;text-transform:uppercase}\n"
	"button{width:100%;margin-top:.75rem;font:inherit;font-weight:600;padding:.7rem 1rem;"
	"border-radius:9px;border:1px solid var(--line);background:transparent;color:inherit;"
	"cursor:pointer}\n"
	"button.primary{margin-top:1.1rem;background:var(--accent);border-color:var(--accent);"
	"color:var(--on)}\n"
	"code{font-family:ui-monospace,'DejaVu Sans Mono',monospace}\n";

const char pages_mark[] =
	"<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\" fill=\"none\" stroke=\"currentColor\" "
	"stroke-width=\"1.8\" stroke-linecap=\"round\"><circle cx=\"5\" cy=\"6\" r=\"2.6\"/>"
	"<circle cx=\"19\" cy=\"8\" r=\"2.6\"/><circle cx=\"10\" cy=\"18.5\" r=\"2.6\"/>"
	"<path d=\"M7.5 6.6c3 .6 5.600 1.800 8.900 1.600M6 8.500c.4 3.500 1.500 5.600 2.900 "
	"7.600M17.800 "
	"10.400c-1.500 3-3.300 5-5.600 6.600\"/></svg>";
