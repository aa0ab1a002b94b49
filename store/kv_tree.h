/* SPDX-License-Identifier: Apache-2.0
 *
 * Ordered map from byte strings to byte strings whose old versions stay readable: a treap (Seidel
 * and Aragon, "Randomized search trees", 1996) with path copying. The priority of a node is a hash
 * of its key, so the shape depends on the contents alone. A version is a root; holding it is O(1),
 * a write copies the O(log n) nodes of its path that another version also uses, and none where
 * nobody does.
 *
 * Keys here are 0..KV_KEY_BYTES_MAX bytes. Running out of memory panics. Threads: counting
 * references needs the caller's lock; reading a version that the caller holds does not. */
#ifndef SH_STORE_KV_TREE_H
#define SH_STORE_KV_TREE_H

#include "store/kv.h"

struct kv_pair { /* immutable once in a tree */
    uint32_t refs;
    uint32_t key_size;
    uint32_t value_size;
    bool gone;       /* caller's mark: "this key is deleted" in an overlay */
    uint8_t bytes[]; /* key, then value */
};

struct kv_node;

static inline struct sh_span kv_pair_key(const struct kv_pair *pair)
{
    return KV_SPAN(pair->bytes, pair->key_size);
}

static inline struct sh_span kv_pair_value(const struct kv_pair *pair)
{
    return KV_SPAN(pair->bytes + pair->key_size, pair->value_size);
}

struct kv_node *kv_tree_hold(struct kv_node *root); /* returns root; NULL is the empty tree */
void kv_tree_drop(struct kv_node *root);            /* O(nodes that nobody else holds) */

/* Each takes the version *root and leaves the new one there. key and value may borrow from it. */
void kv_tree_put(struct kv_node **root, struct sh_span key, struct sh_span value, bool gone);
void kv_tree_del(struct kv_node **root, struct sh_span key);
/* low <= key < high; size 0: no bound. */
void kv_tree_cut(struct kv_node **root, struct sh_span low, struct sh_span high);

/* Borrowed from the version; NULL when there is none. */
const struct kv_pair *kv_tree_find(const struct kv_node *root, struct sh_span key);
const struct kv_pair *kv_tree_from(const struct kv_node *root, struct sh_span key);   /* >= key */
const struct kv_pair *kv_tree_after(const struct kv_node *root, struct sh_span key);  /* > key */
const struct kv_pair *kv_tree_before(const struct kv_node *root, struct sh_span key); /* < key */
const struct kv_pair *kv_tree_last(const struct kv_node *root);

#endif
