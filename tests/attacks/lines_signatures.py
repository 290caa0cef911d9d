"""Attacks 26 to 47: signatures, keys, and forms of what is said."""

from typing import Final

from .line import Line, at

HTTP: Final = "attacks/test_http"
SIGNED: Final = "attacks/test_signatures"
FORMS: Final = "attacks/test_forms"
STATE: Final = "attacks/test_state"
EDGE: Final = "node/api/test_edge"
INBOUND: Final = "federation/test_inbound"
SETS: Final = "federation/test_sets"
REQUESTS: Final = "protocol/test_httpsig_vectors"
CHECKS: Final = "cli/client/test_checks"
CHANGED: Final = at(FORMS, "a_good_body_changed_in_one_place_is_refused", "an_operators_command_is_read_as_strictly")
FIXED_FORM: Final = at(INBOUND, "any_other_request_changes_nothing") + at(
    REQUESTS, "any_other_request_is_refused_by_a_named_error"
)

LINES: Final[dict[int, Line]] = {
    26: Line(
        "an effect before the check",
        at(SIGNED, "a_valid_body_under_a_wrong_key_has_no_effect")
        + at(INBOUND, "a_wrong_key_under_the_name_of_a_peer_changes_nothing"),
    ),
    27: Line(
        "speaking for another organization",
        at(SIGNED, "a_peer_does_not_speak_for_another_one", "a_message_for_another_node_is_refused")
        + at(
            "federation/test_peering",
            "nobody_takes_the_name_of_an_organization_whose_address_it_does_not_hold",
        ),
        "answered with 401 and not 403: nothing verified says who it is",
    ),
    28: Line(
        "a forged record by a second way",
        at("node/exchange/test_delivery", "a_message_signed_by_another_key_has_no_effect")
        + at(SETS, "an_incomplete_set_is_shown_not_even_in_part", "a_head_of_another_key_is_refused")
        + at("cli/test_log", "a_log_that_does_not_hold_is_refused")
        + at("cli/test_offers", "a_proof_that_does_not_hold_is_refused")
        + at(SIGNED, "a_pinned_document_is_verified_again_when_it_is_read_back"),
    ),
    29: Line(
        "a second form under a good signature",
        at(
            SIGNED,
            "a_second_form_of_a_document_is_refused_although_its_key_signed_it",
            "a_second_form_of_a_message_is_refused_although_its_key_signed_it",
            "a_second_form_of_a_nudge_is_refused",
        )
        + at("protocol/test_encoding", "a_changed_byte_never_gives_a_second_spelling"),
    ),
    30: Line(
        "doubled keys",
        CHANGED + at(EDGE, "json_that_two_readers_could_read_differently_is_refused"),
    ),
    31: Line(
        "unknown fields",
        CHANGED
        + at(HTTP, "no_route_repeats_an_unknown_field_or_a_wrong_value")
        + at("node/api/test_routes", "every_request_body_refuses_unknown_fields"),
    ),
    32: Line("numbers that are none", CHANGED),
    33: Line("text that is none", CHANGED),
    34: Line("nesting", CHANGED + at("protocol/test_encoding", "nesting_without_end_is_refused")),
    35: Line("a component that is not covered", FIXED_FORM),
    36: Line("digests", FIXED_FORM),
    37: Line("labels", FIXED_FORM),
    38: Line(
        "confused algorithms and kinds of keys",
        at(SIGNED, "a_signature_of_another_kind_is_refused", "a_signing_key_is_no_sealing_key") + FIXED_FORM,
    ),
    39: Line(
        "confused names of keys",
        at(
            SIGNED,
            "a_key_of_another_role_signs_no_request",
            "a_key_of_another_role_signs_no_message",
            "one_key_for_two_roles_is_refused",
        ),
    ),
    40: Line(
        "one kind of ciphertext in the place of another",
        at("protocol/e2ee/test_sealing", "a_request_cannot_be_replayed_as_a_choice")
        + at(
            "e2ee/test_engine",
            "a_message_of_another_session_is_refused",
            "a_message_of_a_group_with_other_members_is_refused",
        ),
    ),
    41: Line(
        "keys that nobody asked for",
        at(CHECKS, "a_brief_that_brings_a_strange_device_along_gets_no_yes")
        + at("e2ee/test_engine", "a_welcome_with_a_device_that_was_not_checked_is_refused"),
        "no message of the protocol forwards keys",
    ),
    42: Line(
        "points of small order and second forms of signatures",
        at(
            SIGNED,
            "keys_and_commitments_of_small_order_sign_nothing",
            "commitments_of_small_order_do_not_pass_under_an_honest_key",
            "a_key_with_a_part_of_small_order_is_none",
            "a_signature_has_one_form",
            "a_shared_secret_of_zeros_is_refused_by_both_libraries",
        )
        + at("protocol/test_sealing", "nothing_is_sealed_to_a_key_whose_secret_everybody_knows"),
    ),
    43: Line(
        "ciphertext that was changed",
        at("e2ee/test_engine", "a_changed_byte_anywhere_is_refused_and_the_genuine_message_still_opens")
        + at("protocol/e2ee/test_brief", "a_changed_byte_or_a_cut_in_the_box_is_refused")
        + at(CHECKS, "a_changed_or_repeated_message_shows_nothing_and_the_genuine_one_still_opens"),
        "clients fetch no previews of links",
    ),
    44: Line(
        "replaced keys",
        at("federation/test_discovery", "a_changed_federation_key_is_refused_and_the_pin_stays")
        + at(
            "node/services/people/test_devices",
            "a_link_alone_adds_no_second_device",
            "a_device_of_another_account_secret_is_refused_even_with_consent",
        ),
    ),
    45: Line(
        "replay",
        at(
            SIGNED,
            "a_request_counts_once_on_every_route",
            "word_of_a_new_set_counts_once",
            "what_is_told_of_a_directory_counts_once_whatever_it_says",
        )
        + at(
            INBOUND,
            "a_replay_has_no_second_effect_even_after_a_restart",
            "a_replayed_reading_is_refused_too",
            "a_request_from_before_the_start_is_refused",
        ),
        "a node has one process and one database, so there is no other replica",
    ),
    46: Line(
        "clocks that are off",
        at(SIGNED, "a_clock_that_is_off_gets_the_time_with_the_refusal")
        + at("federation/test_discovery", "the_checkup_compares_clocks"),
        "a clock that runs ahead is shown by `peer doctor`; `doctor` alone sees only one that is behind",
    ),
    47: Line(
        "the time that a comparison takes",
        at(STATE, "looking_for_a_member_takes_the_same_steps_as_for_nobody")
        + at("node/services/people/test_accounts", "an_unknown_address_takes_the_same_steps_and_its_link_opens_nothing")
        + at("node/exchange/test_quotes", "the_moment_of_the_answer_does_not_tell_how_long_the_search_took"),
        "times are benchmarks: tests/bench/bench_attacks.py",
    ),
}
