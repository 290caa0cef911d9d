"""Attacks 48 to 66: logs and catalogs, state, quotas, data of others."""

from typing import Final

from .line import Line, at

LOG: Final = "attacks/test_log_and_catalog"
STATE: Final = "attacks/test_state"
ACCESS: Final = "attacks/test_access"
EDGE: Final = "node/api/test_edge"
SETS: Final = "federation/test_sets"
VECTORS: Final = "protocol/tlog/test_vectors"

LINES: Final[dict[int, Line]] = {
    48: Line(
        "rollback",
        at(SETS, "an_older_head_is_refused_and_what_is_held_stays")
        + at("federation/test_sequencer", "a_store_that_shows_an_older_log_than_was_signed_is_refused")
        + at("federation/test_discovery", "an_older_document_is_refused")
        + at("protocol/tlog/test_witness", "what_a_witness_holds_only_ever_grows_along_one_history"),
    ),
    49: Line(
        "freeze",
        at(
            SETS,
            "a_set_is_hidden_from_the_second_its_head_runs_out",
            "a_frozen_answer_is_refused_once_it_has_run_out",
        ),
    ),
    50: Line(
        "fast-forward",
        at(
            LOG,
            "a_head_from_the_far_end_of_all_numbers_is_refused",
            "a_document_from_the_far_end_of_all_numbers_is_refused",
            "a_tree_of_an_impossible_size_is_refused",
        )
        + at("federation/test_sequencer", "a_restored_log_goes_on_as_a_successor"),
    ),
    51: Line(
        "mix and match",
        at(
            LOG,
            "the_log_as_it_is_served_holds",
            "parts_of_several_logs_or_sizes_do_not_go_together",
            "a_checkpoint_of_another_key_or_log_is_refused",
        )
        + at("protocol/tlog/test_tiles", "one_changed_bit_in_any_needed_tile_is_found"),
    ),
    52: Line(
        "split view",
        at(
            SETS,
            "gossip_shows_two_stories_told_to_two_peers",
            "a_second_head_of_one_number_ends_all_trust_and_both_are_kept",
        )
        + at("protocol/tlog/test_witness", "a_fork_is_refused_even_when_its_own_history_is_consistent")
        + at(
            "node/test_equivocation",
            "a_forked_log_is_caught_by_gossip",
            "a_frozen_peer_begins_nothing_and_goes_on_with_what_was_begun",
        )
        + at(
            "federation/test_gossip",
            "two_logs_for_two_peers_are_found_within_two_rounds",
            "a_forged_bundle_alerts_and_freezes_nobody",
        )
        + at("protocol/test_evidence", "whatever_proves_nothing_is_refused_by_its_rule"),
        "time is counted in rounds of gossip, of which there are two at most",
    ),
    53: Line(
        "thresholds and one witness counted twice",
        at(VECTORS, "what_the_specification_forbids_is_refused_by_its_own_rule"),
    ),
    54: Line(
        "trust built on something that was refused",
        at("federation/test_discovery", "a_changed_federation_key_is_refused_and_the_pin_stays")
        + at(
            "federation/test_changed_keys",
            "the_thief_of_the_old_keys_does_not_come_back",
            "a_third_key_starts_the_wait_anew_and_the_same_one_does_not",
        ),
    ),
    55: Line(
        "bit rot",
        at(
            "federation/test_sequencer",
            "a_flipped_bit_in_a_tile_of_the_right_edge_stops_the_signing",
            "a_flipped_bit_in_an_entry_of_the_right_edge_stops_the_signing",
        )
        + at("node/test_nodelog", "a_check_finds_a_flipped_bit_far_from_the_right_edge"),
    ),
    56: Line(
        "notes in another form",
        at(LOG, "a_checkpoint_in_another_form_is_refused", "a_thousand_signatures_are_refused_by_their_number")
        + at(VECTORS, "what_the_specification_forbids_is_refused_by_its_own_rule"),
    ),
    57: Line(
        "messages out of turn",
        at(
            STATE,
            "an_acceptance_before_the_request_is_refused",
            "a_second_acceptance_is_refused",
            "a_message_beside_the_chain_is_refused",
            "nothing_follows_a_cancel",
            "a_request_from_another_time_is_refused",
        )
        + at("protocol/test_handshake", "every_triple_is_in_the_table_or_refused"),
    ),
    58: Line(
        "an id in the path and another in the body",
        at(STATE, "no_body_repeats_what_the_path_says"),
        "so the two cannot differ",
    ),
    59: Line(
        "poison",
        at(STATE, "a_poisoned_item_stops_neither_the_next_nor_other_peers")
        + at("federation/test_inbox", "a_mistake_of_ours_stops_one_item_and_is_reported")
        + at(
            "node/exchange/test_hostile_consumer",
            "one_thread_that_cannot_move_on_does_not_stop_the_clock_of_the_others",
        ),
    ),
    60: Line(
        "an item over its limit",
        at(
            STATE,
            "a_batch_that_nobody_can_read_is_refused_whole",
            "a_batch_with_an_item_over_its_limit_is_refused_whole_and_names_it",
        )
        + at("federation/test_outbox", "one_item_that_a_peer_cannot_take_is_given_up_alone"),
        "answered with 413 for the batch, naming the item; its sender then finds it and moves on",
    ),
    61: Line(
        "work that grows faster than its input",
        at(
            STATE,
            "ten_times_the_input_is_not_much_more_than_ten_times_the_work",
            "a_signed_note_of_many_lines_is_refused_before_its_lines_are_read",
        ),
        "times are benchmarks: tests/bench/bench_attacks.py",
    ),
    62: Line(
        "filling the disk",
        at(
            STATE,
            "a_peer_over_its_share_is_told_to_wait_and_others_are_not",
            "a_peer_that_contradicts_itself_fills_no_disk",
            "a_refused_item_leaves_nothing_but_the_nonce_of_its_request",
        )
        + at("node/exchange/test_mailbox", "envelopes_for_a_full_mailbox_wait_at_the_sender_and_arrive_in_order")
        + at("node/exchange/test_quotes", "a_peer_cannot_fill_the_disk_with_requests")
        + at(EDGE, "a_full_disk_is_507_while_reading_goes_on_and_ends_without_a_restart"),
    ),
    63: Line(
        "asking for what belongs to others",
        at(
            ACCESS,
            "a_guarded_route_is_open_to_whom_it_is_for_and_to_nobody_else",
            "an_open_route_says_the_same_to_everybody",
            "every_object_in_a_path_is_listed_with_its_owner",
            "the_thread_of_somebody_else_does_not_exist",
            "the_thread_of_ones_own_exists",
            "the_set_of_another_audience_does_not_exist",
            "the_thread_of_another_organization_does_not_exist",
            "a_file_of_another_organizations_thread_does_not_exist",
        ),
    ),
    64: Line(
        "using up one-time keys",
        (),
        "no node hands out one-time keys: key packages travel inside sealed briefs",
    ),
    65: Line(
        "flooding one person",
        at(ACCESS, "every_route_has_a_limit", "every_route_of_peers_has_a_limit_by_key")
        + at(STATE, "fifty_acceptances_at_once_take_the_one_place_once")
        + at(
            "node/services/people/test_accounts",
            "an_address_has_at_most_three_open_links_whoever_asks",
            "wishes_and_tries_from_one_network_address_are_limited",
        )
        + at("node/exchange/test_quoting", "quotes_that_are_never_taken_up_have_a_daily_limit"),
    ),
    66: Line(
        "booking twice",
        at(STATE, "fifty_acceptances_at_once_take_the_one_place_once")
        + at("node/exchange/test_hostile_consumer", "a_time_that_another_thread_holds_is_not_agreed"),
    ),
}
