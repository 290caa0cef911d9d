"""Scenes: rows of three panes in the order in which things were said."""

from cli.demo.scenes import Line, Pane, Scene, Stage


def texts(row: dict[Pane, tuple[Line, ...]]) -> dict[Pane, list[str]]:
    return {pane: [line.text for line in lines] for pane, lines in row.items()}


def told(*lines: tuple[Pane, str]) -> Scene:
    shown: list[Scene] = []
    stage = Stage(shown.append)
    stage.scene("title")
    for pane, text in lines:
        stage.line(pane, text)
    stage.end()
    (scene,) = shown
    return scene


def test_an_answer_stands_below_what_it_answers() -> None:
    scene = told(("mentee", "question"), ("servers", "bytes"), ("mentor", "answer"), ("mentee", "thanks"))
    assert [texts(row) for row in scene.rows] == [
        {"mentee": ["question"], "servers": ["bytes"], "mentor": ["answer"]},
        {"mentee": ["thanks"]},
    ]


def test_what_one_says_in_one_go_stays_together() -> None:
    scene = told(("servers", "a"), ("mentee", "one"), ("mentee", "two"))
    assert [texts(row) for row in scene.rows] == [{"servers": ["a"], "mentee": ["one", "two"]}]


def test_every_line_stands_in_exactly_one_row() -> None:
    lines: list[tuple[Pane, str]] = [
        (pane, f"{number}{pane}") for number in range(4) for pane in ("mentor", "servers", "mentor", "mentee")
    ]
    scene = told(*lines)
    assert sorted(line.text for row in scene.rows for some in row.values() for line in some) == sorted(
        text for _, text in lines
    )


def test_a_scene_is_shown_when_the_next_one_begins() -> None:
    shown: list[Scene] = []
    stage = Stage(shown.append)
    stage.scene("first")
    assert shown == []
    stage.scene("second")
    stage.end()
    stage.end()
    assert [(scene.number, scene.title) for scene in shown] == [(1, "first"), (2, "second")]
