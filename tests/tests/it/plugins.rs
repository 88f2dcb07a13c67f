//! P1 to P8 and R4: what plugins keep to, whichever kind they are of. Each case runs for every kind that can do it.

mod cases;
mod chain;
mod choice;
mod deadline;
mod kind;
mod load;
