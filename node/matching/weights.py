"""What counts how much in a rank: one published table, in thousandths.

Source: docs/reference/vocabulary.md, "How a rank is computed".
"""

from typing import Annotated, Final

import msgspec

Thousandths = Annotated[int, msgspec.Meta(ge=0, le=1000)]


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """Weights of the parts of a score, and the worth of each answer within a part.

    The first five parts sum to 1,000 for a perfect mentor; wishes come on top, exposure is taken off. Exposure is less
    than the step from a near to an exact topic, so it never puts the near one first.
    """

    topic: Thousandths = 450
    experience: Thousandths = 200
    slots: Thousandths = 150
    approach: Thousandths = 100
    responsiveness: Thousandths = 100
    wishes: Thousandths = 100
    exposure: Thousandths = 100

    near_topic: Thousandths = 450
    may_cover_group: Thousandths = 800
    may_cover_domain: Thousandths = 600

    #: Somebody who knows about it when experience was asked for, and the like.
    other_kind: Thousandths = 400
    #: Part of `experience` that depends on the kind, when experience types were wished as well.
    kind_share: Thousandths = 700

    one_slot: Thousandths = 500
    two_slots: Thousandths = 750

    answers_in_a_day: Thousandths = 700
    answers_in_two_days: Thousandths = 400

    #: Proposals per place within the window the caller counts, from which exposure is taken off in full.
    full_exposure: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10


DEFAULT: Final = Weights()
