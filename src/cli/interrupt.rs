//! Ctrl-C: what runs is given up, what is finished is kept, and no half of anything is left behind.

use super::output;
use crate::analysis::Stop;
use std::sync::Arc;

/// What asks to stop from now on, when the user does.
pub(super) fn on_ctrl_c() -> Arc<Stop> {
    let stop = Arc::new(Stop::new());
    let asked = Arc::clone(&stop);
    // Without the handler Ctrl-C still ends the program, and the journal of a sweep keeps what is finished.
    if ctrlc::set_handler(move || asked.ask()).is_err() {
        output::talk("Ctrl-C cannot be caught here: it ends the program at once");
    }
    stop
}
