#!/usr/bin/env python
"""Track objects in the browser: draw boxes, watch, see where the tracker is in doubt, correct:

    pip install 'gradio>=5'
    python demo/app.py

It opens at http://127.0.0.1:7860, for this machine alone.
"""

from __future__ import annotations  # gr.SelectData without gradio

import os
import queue
import sys
import threading

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see utils/cpu.py
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

try:
    import gradio as gr
except ImportError:  # said in main, so that --help works
    gr = None
from app_session import Session

from sot.utils.command_line import make_parser

CLIP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cups.mp4")
PREVIEW_EVERY = 0.1  # seconds
HELP = """
# Track an object

1. Choose a video, go to a frame, and click two opposite corners of the object.
2. Press **Track**. Then *Next doubt* goes to the next frame in which a target may be lost, and
   chooses that target.
3. If a box is wrong, click two opposite corners in that frame and track again. Between two of your
   boxes the object is then followed in both directions.
"""


class Preview:
    """Takes the drawn frames of a run, of which the page shows the latest."""

    def __init__(self, session: Session):
        self.session, self.pictures, self.count = session, queue.Queue(maxsize=1), 0

    def show(self, picture) -> bool:
        self.count += 1
        if self.pictures.empty():
            self.pictures.put(picture[..., ::-1].copy())
        return not self.session.stop.is_set()


def opened(file):
    """Session, and what the page shows of it, after a video was chosen."""
    if file is None:
        return None, gr.update(value=0, maximum=1), None, targets(None), None, [], ""
    try:
        session = Session(file)
    except (ValueError, OSError) as error:
        raise gr.Error(str(error)) from None
    last = len(session.frames) - 1
    text = f"{last + 1} frames. Click two opposite corners of the object."
    slider = gr.update(value=0, maximum=max(last, 1))
    return session, slider, session.draw(0), targets(session), None, [], text


def targets(session, chosen=0):
    """The list of targets to choose from."""
    count = len(session.boxes) if session else 1
    return gr.update(choices=[(f"target {k}", k) for k in range(count)], value=chosen)


def checked(session) -> Session:
    if session is None:
        raise gr.Error("choose a video first")
    return session


def clicked(session, target, frame, event: gr.SelectData):
    try:
        text = checked(session).click(target, int(frame), *event.index)
    except ValueError as error:
        raise gr.Error(str(error)) from None
    return session.draw(int(frame)), text


def added(session):
    return targets(session, checked(session).add_target())


def removed(session, target, frame):
    checked(session).remove(target, int(frame))
    return session.draw(int(frame)), f"Target {target} has no box in frame {int(frame)}."


def moved(session, frame):
    if session is None:
        return None, None
    return session.draw(int(frame)), session.plot(int(frame)) if session.labels else None


def tracked(session, target, frame):
    """Yields the picture, the plot, the files, the list of targets and a text while a run goes on,
    and after it."""
    preview, outcome = Preview(checked(session)), {}
    yield gr.skip(), gr.skip(), gr.skip(), gr.skip(), "Tracking ..."

    def work():
        try:
            session.track(preview)
        except KeyboardInterrupt:
            outcome["error"] = "stopped before there were results"
        except (ValueError, OSError) as error:
            outcome["error"] = str(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        try:
            picture = preview.pictures.get(timeout=PREVIEW_EVERY)
        except queue.Empty:
            continue
        text = f"{preview.count} of {len(session.frames)} frames"
        yield picture, gr.skip(), gr.skip(), gr.skip(), text
    if "error" in outcome:
        raise gr.Error(outcome["error"])
    ended = "Stopped" if session.stop.is_set() else "Done"
    text = f"{ended}: {len(session.labels)} frames, {len(session.doubts())} of them in doubt."
    frame, target = int(frame), targets(session, min(target, len(session.boxes) - 1))
    yield session.draw(frame), session.plot(frame), session.files(), target, text


def stopped(session):
    checked(session).stop.set()


def doubted(session, frame):
    found = checked(session).next_doubt(int(frame))
    if found is None:
        text = "No frame is in doubt." if session.labels else "Track first."
        return gr.skip(), gr.skip(), text
    frame, target = found
    return frame, targets(session, target), f"Target {target} is in doubt in frame {frame}."


def build() -> gr.Blocks:
    """The page."""
    with gr.Blocks(title="Track an object", delete_cache=(3600, 86400)) as page:
        session = gr.State(None, time_to_live=86400, delete_callback=lambda s: s and s.close())
        gr.Markdown(HELP)
        with gr.Row():
            with gr.Column(scale=3):
                picture = gr.Image(
                    label="Frame",
                    interactive=False,
                    format="jpeg",
                    height=480,
                    buttons=["fullscreen"],
                )
                slider = gr.Slider(0, 1, 0, step=1, label="Frame number")
                plot = gr.Plot(label="Score")
            with gr.Column(scale=1):
                file = gr.File(label="Video", file_types=["video"], type="filepath")
                gr.Examples([[CLIP]], file, label="Or the demo's clip")
                target = gr.Dropdown([("target 0", 0)], value=0, label="Target")
                add = gr.Button("Add a target")
                remove = gr.Button("Remove the box of this frame")
                track = gr.Button("Track", variant="primary")
                stop = gr.Button("Stop")
                doubt = gr.Button("Next doubt")
                text = gr.Markdown("", elem_id="message")
                files = gr.Files(label="Results", interactive=False)
        file.change(opened, file, [session, slider, picture, target, plot, files, text])
        inputs = [session, target, slider]
        # "multiple": the second corner may be clicked before the first one is drawn
        picture.select(clicked, inputs, [picture, text], trigger_mode="multiple")
        add.click(added, session, target)
        remove.click(removed, inputs, [picture, text])
        slider.change(moved, [session, slider], [picture, plot], show_progress="hidden")
        track.click(tracked, inputs, [picture, plot, files, target, text])
        stop.click(stopped, session)
        doubt.click(doubted, [session, slider], [slider, target, text])
    return page


def main(argv=None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0: other machines can use it")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--max-size", default="2gb", help="of an uploaded video (%(default)s)")
    args = parser.parse_args(argv)
    if gr is None:
        sys.exit("error: the app needs gradio: pip install 'gradio>=5'")
    build().queue(default_concurrency_limit=1).launch(
        server_name=args.host, server_port=args.port, max_file_size=args.max_size
    )


if __name__ == "__main__":
    main()
