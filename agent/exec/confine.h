/* SPDX-License-Identifier: Apache-2.0
 *
 * Level basic of exec/sandbox.h: a process lays off what it may, without namespaces. */
#ifndef EXEC_CONFINE_H
#define EXEC_CONFINE_H

#include "exec/order.h"

/* Version of the kernel's Landlock; 0: it has none. */
int exec_confine_landlock(void);
/* Whether this program knows how to filter system calls on this processor, and the kernel can. */
bool exec_confine_filters(void);

/* Files by Landlock, signals and abstract sockets too where it can (version 6), internet sockets by
 * a system call filter unless order->network; no_new_privs. For the calling process and its
 * descendants, for good. UNSUPPORTED (no Landlock), IO (errno says why). A path that does not
 * exist is left out. Called between fork and exec by a process of one thread. */
SH_MUST_USE enum sh_err exec_confine(const struct exec_order *order);

#endif
