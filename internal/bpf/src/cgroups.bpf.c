/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */

/* Lists the memory cgroups below a directory, with the numbers of their files. */

#include "kernel.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum {
	CSS_ONLINE = 1 << 1,
	CSS_VISIBLE = 1 << 3, /* it has its files. */
	BPF_F_MMAPABLE = 1 << 10,
	PSI_MEM_SOME = 2,

	EVENTS = 6, /* low, high, max, oom, oom_kill, oom_group_kill */

	OOM_GROUP = 1,
	KILL_DISABLED = 2,
	UNDER_OOM = 4,
	HAS_KERNEL = 8,
	HAS_OOM_CONTROL = 16,
	HAS_SWAPPINESS = 32,
	HAS_PRESSURE = 64,
};

/* One cgroup. Go's decoder has the offsets. Amounts of memory are in pages. */
struct numbers {
	u64 id;
	u64 parent;   /* 0: it is the root. */
	u64 children; /* directories below it, with the memory controller or without. */
	u64 usage, limit, high, min, peak, hits;
	u64 swap, swap_limit;   /* v2 */
	u64 memsw, memsw_limit; /* v1 */
	u64 kernel;             /* v1 */
	u64 events[EVENTS];     /* of it and of those below it, on v1 of it alone. */
	u64 own[EVENTS];
	u64 waiting_ns, stalled_ns; /* v2 */
	u32 flags;
	u32 swappiness;
};

#define is_at(field, at) _Static_assert(__builtin_offsetof(struct numbers, field) == at, #field)
is_at(usage, 24);
is_at(swap, 72);
is_at(kernel, 104);
is_at(events, 112);
is_at(own, 160);
is_at(waiting_ns, 208);
is_at(flags, 224);
_Static_assert(sizeof(struct numbers) == 232, "numbers");

/* The pass writes them here: the kernel ends an iterator over cgroups whose output
   does not fit one read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct numbers);
} found SEC(".maps");

u32 count; /* of found. */
u32 over;  /* cgroups for which there was no room. */

SEC("iter/cgroup")
int cgroups(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgroup = ctx->cgroup;
	struct cgroup_subsys_state *css, *parent;
	struct mem_cgroup *m;
	struct numbers *n;
	struct psi_group *psi = 0;
	u32 at, flags = 0;
	u8 byte;

	if (!cgroup) /* the end; its number is that of the last cgroup. */
		return 0;
	if (ctx->meta->seq_num == 0) {
		count = 0;
		over = 0;
	}
	css = cgroup->subsys[enum_value(enum cgroup_subsys_id, memory_cgrp_id)];
	if (!css || !(css->flags & CSS_ONLINE))
		return 0;
	parent = css->parent;
	if (parent && !(css->flags & CSS_VISIBLE)) /* the root's may be elsewhere by now. */
		return 0;
	at = count;
	n = bpf_map_lookup_elem(&found, &at);
	if (!n) {
		over++;
		return 0;
	}
	count = at + 1;
	m = (void *)css;
	n->id = cgroup->kn->id;
	n->children = cgroup->kn->dir.subdirs;
	n->parent = 0;
	if (parent)
		n->parent = parent->cgroup->kn->id;
	read(n->usage, &m->memory.usage.counter);
	read(n->limit, &m->memory.max);
	read(n->high, &m->memory.high);
	read(n->min, &m->memory.min);
	read(n->peak, &m->memory.watermark);
	n->hits = 0;
	if (has_field(m->memory.failcnt))
		read(n->hits, &m->memory.failcnt);
	read(n->swap, &m->swap.usage.counter);
	read(n->swap_limit, &m->swap.max);
	read(n->memsw, &m->memsw.usage.counter);
	read(n->memsw_limit, &m->memsw.max);
	if (has_field(m->kmem)) {
		read(n->kernel, &m->kmem.usage.counter);
		flags |= HAS_KERNEL;
	}
	read(n->events, &m->memory_events);
	read(n->own, &m->memory_events_local);
	/* One byte is enough of numbers that are small: some are int here and bool there. */
	if (has_field(m->oom_kill_disable)) {
		flags |= HAS_OOM_CONTROL;
		read(byte, &m->oom_kill_disable);
		if (byte)
			flags |= KILL_DISABLED;
		read(byte, &m->under_oom);
		if (byte)
			flags |= UNDER_OOM;
	}
	if (has_field(m->swappiness)) {
		flags |= HAS_SWAPPINESS;
		read(byte, &m->swappiness);
		n->swappiness = byte;
	}
	read(byte, &m->oom_group);
	if (byte)
		flags |= OOM_GROUP;
	n->waiting_ns = n->stalled_ns = 0;
	if (has_field(cgroup->psi) && has_field(psi->total) && has_field(psi->enabled)) {
		psi = cgroup->psi;
		if (psi && psi->enabled) { /* else it has no such file, see cgroup.pressure. */
			flags |= HAS_PRESSURE;
			read(n->waiting_ns, &psi->total[PSI_MEM_SOME]);
			read(n->stalled_ns, &psi->total[PSI_MEM_SOME + 1]);
		}
	}
	n->flags = flags;
	return 0;
}
