/* SPDX-License-Identifier: Apache-2.0
 *
 * The first entries of a cluster's log. */
#ifndef AGENT_FOUNDING_H
#define AGENT_FOUNDING_H

#include "parts.h"

/* First life of the founder, as committed entries that every later agent reads too: a handle that
 * was never given is the only voter, that handle is this agent, and agents that restored tables
 * name are gone. Fresh tables begin at index 1, restored ones behind what they hold. Durable; a
 * crash in between leaves a directory that founds again. */
SH_MUST_USE enum sh_err founding_write(struct service *s);

#endif
