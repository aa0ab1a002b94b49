/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kv_tree.h"

#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

/* The first bytes of a key as numbers that order as they do; most keys differ there. */
struct head {
    uint64_t first;
    uint64_t second;
};

struct kv_node {
    uint32_t refs; /* versions and parents that point here */
    struct head head;
    uint64_t priority;
    struct kv_pair *pair;
    struct kv_node *left;
    struct kv_node *right;
};

static uint64_t big_endian(const uint8_t *at)
{
    uint64_t word = 0;
    for (uint32_t i = 0; i < 8; i++) {
        word = word << 8 | at[i];
    }
    return word;
}

static struct head head_of(struct sh_span key)
{
    uint8_t bytes[16] = {0};
    if (key.size >= sizeof bytes) {
        return (struct head){.first = big_endian(key.at), .second = big_endian(key.at + 8)};
    }
    if (key.size > 0) {
        memcpy(bytes, key.at, key.size);
    }
    return (struct head){.first = big_endian(bytes), .second = big_endian(bytes + 8)};
}

/* As kv_compare of the node's key with this one. */
static int compare(const struct kv_node *node, const struct head *head, struct sh_span key)
{
    if (node->head.first != head->first) {
        return node->head.first < head->first ? -1 : 1;
    }
    if (node->head.second != head->second) {
        return node->head.second < head->second ? -1 : 1;
    }
    return kv_compare(kv_pair_key(node->pair), key);
}

static void *take_memory(size_t size)
{
    void *at = malloc(size);
    SH_CHECK(at != NULL);
    return at;
}

/* Heap order: true when node a stands above node b. Keys decide between equal hashes. */
static bool stands_above(const struct kv_node *a, uint64_t priority, struct sh_span key)
{
    if (a->priority != priority) {
        return a->priority > priority;
    }
    return kv_compare(kv_pair_key(a->pair), key) <= 0;
}

static struct kv_pair *make_pair(struct sh_span key, struct sh_span value, bool gone)
{
    struct kv_pair *pair = take_memory(sizeof *pair + key.size + value.size);
    *pair = (struct kv_pair){.refs = 1,
                             .key_size = (uint32_t)key.size,
                             .value_size = (uint32_t)value.size,
                             .gone = gone};
    if (key.size > 0) {
        memcpy(pair->bytes, key.at, key.size);
    }
    if (value.size > 0) {
        memcpy(pair->bytes + key.size, value.at, value.size);
    }
    return pair;
}

static void drop_pair(struct kv_pair *pair)
{
    SH_CHECK_CMP(pair->refs, >, 0);
    if (--pair->refs == 0) {
        free(pair);
    }
}

struct kv_node *kv_tree_hold(struct kv_node *root)
{
    if (root != NULL) {
        root->refs++;
    }
    return root;
}

/* Gives up one reference. A node that nobody points to any more joins the list of the dying, which
 * is chained through the place of the pair: so a whole tree goes without recursion or memory. */
static void give_up(struct kv_node *node, struct kv_node **dying)
{
    if (node == NULL) {
        return;
    }
    SH_CHECK_CMP(node->refs, >, 0);
    if (--node->refs == 0) {
        drop_pair(node->pair);
        node->pair = (struct kv_pair *)(void *)*dying;
        *dying = node;
    }
}

void kv_tree_drop(struct kv_node *root)
{
    struct kv_node *dying = NULL;
    give_up(root, &dying);
    while (dying != NULL) {
        struct kv_node *node = dying;
        dying = (struct kv_node *)(void *)node->pair;
        give_up(node->left, &dying);
        give_up(node->right, &dying);
        free(node);
    }
}

/* The node at *slot as one that only this version uses, copying it where another one does too.
 * *slot must itself belong to this version alone. */
static struct kv_node *own(struct kv_node **slot)
{
    struct kv_node *node = *slot;
    if (node->refs == 1) {
        return node;
    }
    struct kv_node *copy = take_memory(sizeof *copy);
    *copy = *node;
    copy->refs = 1;
    copy->pair->refs++;
    (void)kv_tree_hold(copy->left);
    (void)kv_tree_hold(copy->right);
    node->refs--;
    *slot = copy;
    return copy;
}

/* Takes tree; keys < key go to *low, the others to *high. */
static void split(struct kv_node *tree, struct sh_span key, struct kv_node **low,
                  struct kv_node **high)
{
    struct head head = head_of(key);
    while (tree != NULL) {
        struct kv_node *node = own(&tree);
        if (compare(node, &head, key) < 0) {
            *low = node;
            low = &node->right;
            tree = node->right;
        } else {
            *high = node;
            high = &node->left;
            tree = node->left;
        }
    }
    *low = NULL;
    *high = NULL;
}

/* Takes both; every key of low is less than every key of high. */
static struct kv_node *join(struct kv_node *low, struct kv_node *high)
{
    struct kv_node *root = NULL;
    struct kv_node **slot = &root;
    while (low != NULL && high != NULL) {
        if (stands_above(low, high->priority, kv_pair_key(high->pair))) {
            *slot = own(&low);
            slot = &low->right;
            low = low->right;
        } else {
            *slot = own(&high);
            slot = &high->left;
            high = high->left;
        }
    }
    *slot = low != NULL ? low : high;
    return root;
}

void kv_tree_put(struct kv_node **root, struct sh_span key, struct sh_span value, bool gone)
{
    uint64_t priority = sh_words64(0, key.at, key.size);
    struct head head = head_of(key);
    struct kv_node **slot = root;
    while (*slot != NULL && stands_above(*slot, priority, key)) {
        struct kv_node *node = own(slot);
        int order = compare(node, &head, key);
        if (order == 0) {
            struct kv_pair *old = node->pair; /* key and value may lie in it */
            node->pair = make_pair(key, value, gone);
            drop_pair(old);
            return;
        }
        slot = order > 0 ? &node->left : &node->right;
    }
    struct kv_node *node = take_memory(sizeof *node);
    *node = (struct kv_node){
        .refs = 1, .head = head, .priority = priority, .pair = make_pair(key, value, gone)};
    split(*slot, key, &node->left, &node->right);
    *slot = node;
}

void kv_tree_del(struct kv_node **root, struct sh_span key)
{
    if (kv_tree_find(*root, key) == NULL) {
        return;
    }
    struct head head = head_of(key);
    struct kv_node **slot = root;
    for (;;) {
        struct kv_node *node = own(slot);
        int order = compare(node, &head, key);
        if (order == 0) {
            *slot = join(node->left, node->right);
            drop_pair(node->pair);
            free(node);
            return;
        }
        slot = order > 0 ? &node->left : &node->right;
    }
}

void kv_tree_cut(struct kv_node **root, struct sh_span low, struct sh_span high)
{
    struct kv_node *below = NULL;
    struct kv_node *middle = *root;
    struct kv_node *above = NULL;
    if (low.size > 0) {
        split(middle, low, &below, &middle);
    }
    if (high.size > 0) {
        split(middle, high, &middle, &above);
    }
    kv_tree_drop(middle);
    *root = join(below, above);
}

const struct kv_pair *kv_tree_find(const struct kv_node *root, struct sh_span key)
{
    const struct kv_pair *pair = kv_tree_from(root, key);
    bool equal = pair != NULL && kv_compare(kv_pair_key(pair), key) == 0;
    return equal ? pair : NULL;
}

/* The least pair whose key compares with key at or above bound (0: >=, 1: >). */
static const struct kv_pair *least(const struct kv_node *root, struct sh_span key, int bound)
{
    struct head head = head_of(key);
    const struct kv_pair *best = NULL;
    const struct kv_node *node = root;
    while (node != NULL) {
        if (compare(node, &head, key) >= bound) {
            best = node->pair;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

const struct kv_pair *kv_tree_from(const struct kv_node *root, struct sh_span key)
{
    return least(root, key, 0);
}

const struct kv_pair *kv_tree_after(const struct kv_node *root, struct sh_span key)
{
    return least(root, key, 1);
}

const struct kv_pair *kv_tree_before(const struct kv_node *root, struct sh_span key)
{
    struct head head = head_of(key);
    const struct kv_pair *best = NULL;
    const struct kv_node *node = root;
    while (node != NULL) {
        if (compare(node, &head, key) < 0) {
            best = node->pair;
            node = node->right;
        } else {
            node = node->left;
        }
    }
    return best;
}

const struct kv_pair *kv_tree_last(const struct kv_node *root)
{
    const struct kv_pair *best = NULL;
    const struct kv_node *node = root;
    while (node != NULL) {
        best = node->pair;
        node = node->right;
    }
    return best;
}
