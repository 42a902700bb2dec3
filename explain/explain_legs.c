#include "explain/explain_legs.h"

#include <stdlib.h>

/* So many connections that look the same are looked at. */
enum { SIMILAR_MAX = 64 };

bool explain_legs_is_first(const struct explain_call *call)
{
	return !call->twin || call->control->number < call->twin->control->number;
}

static void join_controls(struct explain_control *one, struct explain_control *other)
{
	if (one->twin || other->twin)
		return;
	one->twin = other;
	other->twin = one;
}

static void join(struct explain_call *one, struct explain_call *other)
{
	one->twin = other;
	other->twin = one;
	join_controls(one->control, other->control);
}

/* By magic numbers: first of both ends, then of one. */

enum { ROUNDS = 3 };

static bool magic_key(const struct explain_call *call, int round, struct explain_key *key)
{
	uint32_t client = call->ppp.magic[EXPLAIN_CLIENT], server = call->ppp.magic[EXPLAIN_SERVER];
	*key =
	    (struct explain_key){round == 2 ? 0 : client, round == 1 ? 0 : server, (uint32_t)round};
	return (round == 2 || client != 0) && (round == 1 || server != 0);
}

struct call_node {
	struct explain_node node;
	struct explain_call *call;
};

static void match_call(struct explain_index *index, struct call_node *own, int round)
{
	struct explain_call *call = own->call;
	struct explain_key key;
	if (!call->control || call->twin || !magic_key(call, round, &key))
		return;
	struct call_node *like = (struct call_node *)explain_index_find(index, key);
	if (like && !like->call->twin && like->call->control != call->control &&
	    like->call->asked_us <= call->asked_us)
		join(like->call, call);
	else
		explain_index_add(index, &own->node, key);
}

static int match_calls(struct explain_case *all)
{
	struct call_node *nodes = calloc(all->call_count + all->stray_count + 1, sizeof(*nodes));
	int answer = nodes ? 0 : -1;
	for (int round = 0; round < ROUNDS && answer == 0; round++) {
		struct explain_index index;
		struct call_node *own = nodes;
		answer = explain_index_init(&index);
		for (struct explain_call *call = all->calls; call && answer == 0;
		     call = call->next, own++) {
			own->call = call;
			match_call(&index, own, round);
		}
		explain_index_clear(&index);
	}
	free(nodes);
	return answer;
}

/* By introductions. */

struct control_node {
	struct explain_node node;
	struct explain_control *control;
};

static bool lies_within(const struct explain_control *inner, const struct explain_control *outer)
{
	const struct explain_control_end *in = inner->end, *out = outer->end;
	return out[EXPLAIN_CLIENT].introduced_us <= in[EXPLAIN_CLIENT].introduced_us &&
	       in[EXPLAIN_SERVER].introduced_us <= out[EXPLAIN_SERVER].introduced_us;
}

/* The only one before it that looks the same and lies around it. */
static struct explain_control *find_outer(const struct explain_index *index, struct explain_key key,
					  const struct explain_control *inner)
{
	struct explain_control *found = NULL;
	struct explain_node *node = explain_index_find(index, key);
	for (int i = 0; node && i < SIMILAR_MAX; i++, node = explain_index_before(node)) {
		struct explain_control *outer = ((struct control_node *)node)->control;
		if (outer->twin || !lies_within(inner, outer))
			continue;
		if (found)
			return NULL;
		found = outer;
	}
	return found;
}

static int match_controls(struct explain_case *all)
{
	struct control_node *nodes = calloc(all->control_count + 1, sizeof(*nodes));
	struct control_node *own = nodes;
	struct explain_index index = {0};
	int answer = nodes ? explain_index_init(&index) : -1;
	struct explain_control *control = answer == 0 ? all->controls : NULL;
	for (; control; control = control->next, own++) {
		const struct explain_control_end *end = control->end;
		const struct explain_key key = {end[EXPLAIN_CLIENT].introduction,
						end[EXPLAIN_SERVER].introduction, 0};
		if (control->twin || !end[EXPLAIN_CLIENT].introduced ||
		    !end[EXPLAIN_SERVER].introduced)
			continue;
		struct explain_control *outer = find_outer(&index, key, control);
		if (outer)
			join_controls(outer, control);
		own->control = control;
		explain_index_add(&index, &own->node, key);
	}
	explain_index_clear(&index);
	free(nodes);
	return answer;
}

static bool may_be_one(const struct explain_call *one, const struct explain_call *other)
{
	for (enum explain_end end = 0; end < EXPLAIN_ENDS; end++) {
		uint32_t magic = one->ppp.magic[end], others = other->ppp.magic[end];
		if (magic != 0 && others != 0 && magic != others)
			return false;
	}
	return !one->twin && !other->twin;
}

/* Of connections that are legs of one, the calls stand in the same order, if they are as many. */
static void match_silent_calls(struct explain_case *all)
{
	for (struct explain_control *control = all->controls; control; control = control->next) {
		if (!control->twin || control->number > control->twin->number ||
		    control->call_count != control->twin->call_count)
			continue;
		struct explain_call *other = control->twin->first_call;
		for (struct explain_call *call = control->first_call; call;
		     call = call->next_here, other = other->next_here)
			if (may_be_one(call, other))
				join(call, other);
	}
}

int explain_legs_match(struct explain_case *all)
{
	if (match_calls(all) < 0 || match_controls(all) < 0)
		return -1;
	match_silent_calls(all);
	return 0;
}
