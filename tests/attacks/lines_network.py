"""Attacks 1 to 25: transport and HTTP, what a node asks others, and whom it lets in."""

from typing import Final

from .line import Line, at

HTTP: Final = "attacks/test_http"
OUT: Final = "attacks/test_outbound"
LOG: Final = "attacks/test_log_and_catalog"
ACCESS: Final = "attacks/test_access"
EDGE: Final = "node/api/test_edge"
CLIENT: Final = "federation/test_client"
INBOUND: Final = "federation/test_inbound"
RESOLVER: Final = "federation/test_resolver"
SETS: Final = "federation/test_sets"
REQUESTS: Final = "protocol/test_httpsig_vectors"
TWO_READINGS: Final = "a_request_with_two_readings_is_refused_and_the_connection_closed"
FIXED_FORM: Final = at(INBOUND, "any_other_request_changes_nothing") + at(
    REQUESTS, "any_other_request_is_refused_by_a_named_error"
)

LINES: Final[dict[int, Line]] = {
    1: Line("two Host headers", at(EDGE, "two_hosts_are_refused")),
    2: Line(
        "request smuggling",
        at(HTTP, TWO_READINGS, "a_compressed_transfer_is_no_request"),
    ),
    3: Line("HTTP/0.9", at(EDGE, "a_request_without_a_version_is_refused", "http_1_0_without_a_host_is_refused")),
    4: Line(
        "a target with a host of its own",
        at(
            HTTP,
            "a_target_with_a_host_of_its_own_is_misdirected",
            "the_authority_that_is_signed_is_that_of_the_configuration",
        )
        + at(EDGE, "a_target_that_is_no_path_does_not_reach_a_handler", "another_name_is_misdirected")
        + at(INBOUND, "an_absolute_form_target_is_misdirected", "another_host_name_is_misdirected_for_peers"),
    ),
    5: Line("headers, trailers and addresses without end", at(HTTP, "a_head_or_tail_without_end_is_refused")),
    6: Line(
        "a slow head or body",
        at(HTTP, "a_head_that_comes_drop_by_drop_closes_the_connection", "a_body_that_comes_drop_by_drop_is_given_up")
        + at(
            EDGE,
            "a_head_that_does_not_arrive_closes_the_connection",
            "a_body_that_does_not_arrive_is_given_up",
            "a_client_that_reads_nothing_is_cut_off",
        )
        + at(CLIENT, "a_lie_ends_in_an_error_of_its_kind")
        + at("system/test_one_node", "a_client_that_does_not_finish_the_handshake_is_cut_off"),
    ),
    7: Line(
        "connections that say nothing",
        at(HTTP, "connections_that_say_nothing_give_their_places_back")
        + at(EDGE, "connections_over_the_cap_are_closed_and_the_others_served"),
        "memory afterwards is a benchmark: tests/bench/bench_attacks.py",
    ),
    8: Line(
        "multipart parsers",
        at(HTTP, "a_form_with_parts_is_refused_on_every_route_before_it_is_read")
        + at(EDGE, "another_media_type_is_refused_before_the_body_is_read")
        + at(INBOUND, "a_body_of_another_media_type_is_refused_unread"),
    ),
    9: Line(
        "a decompression bomb",
        at(HTTP, "a_compressed_body_is_refused_and_never_unpacked")
        + at(EDGE, "a_compressed_body_is_refused")
        + at(INBOUND, "a_compressed_body_is_refused_unread")
        + at(
            "node/services/people/test_member_operations", "a_file_that_is_not_packed_or_unpacks_to_too_much_is_refused"
        ),
    ),
    10: Line(
        "a decompression bomb as an answer",
        at(CLIENT, "a_lie_ends_in_an_error_of_its_kind")
        + at(
            "protocol/test_pages",
            "a_bomb_is_refused_before_it_is_inflated",
            "a_frame_that_asks_for_a_large_window_is_refused",
        ),
    ),
    11: Line(
        "an answer without end",
        at(CLIENT, "a_lie_ends_in_an_error_of_its_kind", "the_largest_answer_allowed_is_taken")
        + at("cli/client/test_http", "an_answer_without_end_is_cut_off"),
    ),
    12: Line(
        "a body over its limit",
        at(HTTP, "a_batch_over_the_limit_is_refused_before_the_signature_is_checked")
        + at(EDGE, "a_declared_body_over_the_limit_is_refused_unread", "a_streamed_body_is_cut_at_the_limit")
        + at(INBOUND, "a_body_over_the_limit_is_refused_unread", "a_get_has_no_body"),
    ),
    13: Line(
        "tricks with paths",
        at(HTTP, "an_id_in_a_path_has_one_spelling", "an_address_that_is_escaped_is_another_one")
        + at(EDGE, "a_path_has_one_spelling_and_never_redirects")
        + at(LOG, "a_path_that_names_no_tile_of_this_log_is_refused"),
    ),
    14: Line(
        "signature headers that stand twice", at(HTTP, "a_signature_header_that_stands_twice_is_refused") + FIXED_FORM
    ),
    15: Line(
        "unknown expectations and methods",
        at(HTTP, "a_method_that_no_address_takes_is_refused")
        + at(EDGE, "an_unknown_expectation_is_refused", "an_unknown_method_is_refused"),
    ),
    16: Line(
        "refusals that repeat what was sent",
        at(
            HTTP,
            "a_refusal_repeats_nothing_of_the_request",
            "no_route_repeats_an_unknown_field_or_a_wrong_value",
        )
        + at(
            EDGE,
            "a_malformed_body_gets_a_problem_that_repeats_nothing",
            "what_is_not_http_gets_a_problem_without_an_excerpt",
        ),
    ),
    17: Line(
        "open redirects",
        at(HTTP, "no_answer_leads_to_another_host") + at(EDGE, "a_path_has_one_spelling_and_never_redirects"),
        "no route answers with a redirect, and no parameter names an address to go to",
    ),
    18: Line(
        "requests led to inner addresses",
        at(
            OUT,
            "a_name_that_leads_to_an_address_of_no_host_is_not_asked",
            "a_ticket_does_not_lead_the_node_inside",
        )
        + at(RESOLVER, "an_address_that_no_peer_can_have_is_refused", "one_forbidden_address_spoils_the_answer"),
    ),
    19: Line(
        "inner addresses in disguise",
        at(OUT, "an_address_in_any_spelling_is_no_name")
        + at(RESOLVER, "only_dns_names_are_looked_up", "an_address_in_place_of_a_name_is_never_asked"),
    ),
    20: Line(
        "DNS rebinding",
        at(OUT, "a_connection_goes_to_the_address_that_was_checked")
        + at(RESOLVER, "a_second_answer_is_checked_like_the_first"),
    ),
    21: Line(
        "redirects between nodes",
        at(OUT, "no_redirect_is_followed")
        + at(CLIENT, "a_lie_ends_in_an_error_of_its_kind")
        + at("cli/client/test_http", "an_answer_that_leads_elsewhere_is_not_followed"),
    ),
    22: Line(
        "an organization under a second spelling",
        at(OUT, "an_organization_has_one_spelling")
        + at("protocol/test_ids", "an_entity_with_one_more_character_is_another_one_or_none"),
    ),
    23: Line(
        "a thousand subdomains",
        at(OUT, "a_thousand_subdomains_are_refused_and_not_one_is_contacted") + at(INBOUND, "no_code_no_contact"),
    ),
    24: Line(
        "a peer that was not let in",
        at(ACCESS, "a_guarded_route_is_open_to_whom_it_is_for_and_to_nobody_else")
        + at(INBOUND, "a_blocked_peer_is_refused_everywhere"),
        "there are no pending peers: who holds no ticket is a stranger",
    ),
    25: Line(
        "data of a peer that was put out",
        at(OUT, "offers_of_a_peer_that_is_put_out_are_gone_at_once")
        + at(
            "node/consortia/test_consortium",
            "a_suspended_member_is_out_everywhere_within_a_minute_and_back_when_it_is_let_in",
        )
        + at(SETS, "a_peer_that_is_no_longer_mirrored_is_hidden_at_once")
        + at("federation/test_audiences", "the_mode_says_who_sees_our_set_and_whose_set_we_mirror")
        + at("node/exchange/test_agreement", "a_peer_that_was_blocked_is_sent_nothing_until_it_is_not"),
    ),
}
