/* SPDX-License-Identifier: Apache-2.0
 *
 * The two stores of an agent's directory and their column families. */
#ifndef AGENT_STORES_H
#define AGENT_STORES_H

#include "store/kv.h"

#define STORES_STATE "state" /* entries of the directory */
#define STORES_BULK  "bulk"

enum stores_state_cf { CF_META, CF_LOG, CF_FSM, STORES_STATE_CFS };
enum stores_bulk_cf { CF_BLOB, CF_SERIES, STORES_BULK_CFS };

extern const struct kv_cf stores_state_families[STORES_STATE_CFS];
extern const struct kv_cf stores_bulk_families[STORES_BULK_CFS];

/* Small files of the directory that say how far its first start came. */
#define STORES_FOUNDING "founding" /* it is to form a cluster, and has not finished */
#define STORES_STORED   "stored"   /* its log exists: never created anew */
#define STORES_RESTORED "restored" /* id of the cluster that its tables are of: not of this one */

#endif
