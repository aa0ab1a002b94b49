/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits that more than one module relies on; what only one module needs stands in its own header.
 * docs/LIMITS.md lists them all with what happens at each. */
#ifndef SH_BASE_LIMITS_H
#define SH_BASE_LIMITS_H

#define SH_NODE_ID_BYTES     16u   /* BLAKE2b-128 of the agent's Ed25519 public key */
#define SH_CLUSTER_ID_BYTES  16u   /* BLAKE2b-128 of the cluster root public key */
#define SH_DIGEST_BYTES      32u   /* BLAKE2b-256 */
#define SH_NAME_MAX          63u   /* characters of a job, model, data set or node name */
#define SH_ADDR_MAX          127u  /* characters of HOST:PORT */
#define SH_NODES_MAX         1024u /* members of one cluster that the tables are sized for */
#define SH_VOTERS_MAX        7u
#define SH_RANKS_MAX         256u     /* logical ranks V of one job */
#define SH_SPEC_BYTES_MAX    65536u   /* canonical JSON of one job */
#define SH_CONTROL_BYTES_MAX 1048576u /* one message on the control plane */
#define SH_BULK_CHUNK_BYTES  262144u  /* one chunk on the bulk plane */

_Static_assert(SH_SPEC_BYTES_MAX < SH_CONTROL_BYTES_MAX, "a job fits a control message");

#endif
