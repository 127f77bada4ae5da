//! The promises of policy, one module for each part: what loads, what is answered, who reviews, what is explained.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod explained;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod order;
#[cfg(test)]
mod reviewers;
#[cfg(test)]
mod world;
